// Verifies hand-offs with the official JavaScript library, `standardwebhooks`. Reads one JSON {"secret", "headers",
// "body"} per line, the body as text; writes `ok` or the error for each; exit 1 unless all are ok. verify.py does the
// same in Python.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

/** Calls the function with each line of the input, and writes what it throws. */
export async function perLine(check) {
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      check(JSON.parse(line));
      console.log("ok");
    } catch (error) {
      console.log(`error: ${error.message}`);
      process.exitCode = 1;
    }
  }
}

if (import.meta.filename === process.argv[1]) {
  await perLine(({ secret, headers, body }) => new Webhook(secret).verify(body, headers));
}
