// Starts the stand-in for the tests, as a program on any free port. STAND_IN_BIN names the program; without it, it is
// built.
import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

export const API_KEY = "nyk_test";
export const GRANT = "11111111-0000-4000-8000-000000000001";
export const ADDRESS = "auth@acme.example";

function program() {
  if (process.env.STAND_IN_BIN) return process.env.STAND_IN_BIN;
  execFileSync("cargo", ["build", "--quiet", "--locked", "-p", "nylas-stand-in"], { cwd: root, stdio: "inherit" });
  return resolve(root, process.env.CARGO_TARGET_DIR ?? "target", "debug/nylas-stand-in");
}

/** Starts it. Returns the address it listens on, and a function that ends it. */
export async function startStandIn() {
  const options = ["--listen", "127.0.0.1:0", "--api-key", API_KEY, "--account", `${GRANT}=${ADDRESS}=Acme`, "--quiet"];
  const child = spawn(program(), options, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((done) => child.once("exit", done));
  process.once("exit", () => child.kill());
  const base = await new Promise((done, fail) => {
    child.once("error", fail);
    child.once("exit", (code) => fail(new Error(`the stand-in ended with ${code} before it was ready`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [, address] = line.match(/^listening on (http:\S+)$/) ?? [];
      if (address) done(address);
    });
  });
  const stop = () => {
    child.kill();
    return ended;
  };
  return { base, stop };
}

/** Calls a control: rules, accounts, clock, inbound, webhooks, mail-events, grant-events, notifications. */
export async function control(base, what, body) {
  const response = await fetch(`${base}/control/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`/control/${what}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Sends a mail as the relay does, without the SDK. */
export async function send(base, mail) {
  const response = await fetch(`${base}/v3/grants/${GRANT}/messages/send`, {
    method: "POST",
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ from: [{ email: ADDRESS, name: "Acme" }], ...mail }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`send: ${response.status} ${answer.error?.message}`);
  return answer.data;
}
