// The four kinds of requests that are measured, and their expected results.
import { randomBytes } from "node:crypto";
import { email, sign } from "../scripts/sample.mjs";

export const SIGNING_SECRET = "whsec_YmVuY2gtc2lnbmluZy1zZWNyZXQtMjQ=";
const ANOTHER_SECRET = "whsec_YW5vdGhlci1zZWNyZXQtb2YtMjQtYnl0";

/** Clerk's e-mail events are 9 to 12 kB. */
const BODY_BYTES = 10_000;

/**
 * - `answer`: the answer to every request: the code, and `status` in the JSON body.
 * - `mails`: how many mails Nylas must get for each request.
 * - `inFlight`: how many requests are made at once. One, if the handler waits for nothing.
 * - `times`: multiplies the requests of a turn, if they are too quick to measure.
 * - `sentBefore`: each request was already answered once, unmeasured.
 */
export const MODES = {
  mail: { answer: "200 sent", mails: 1, inFlight: 8, times: 1 },
  forged: { answer: "400 bad_signature", mails: 0, inFlight: 1, times: 4, secret: ANOTHER_SECRET },
  ignored: { answer: "200 ignored", mails: 0, inFlight: 1, times: 4, type: "sms.created" },
  duplicate: { answer: "200 duplicate", mails: 0, inFlight: 8, times: 1, sentBefore: true },
};

/** `count` signed requests, each for another message to another recipient. */
export function requests({ secret = SIGNING_SECRET, type = "email.created" }, count) {
  return Array.from({ length: count }, () => {
    const id = `msg_${randomBytes(14).toString("hex").slice(1)}`;
    const code = String(100_000 + (randomBytes(4).readUInt32BE() % 900_000));
    const [to, subject, at] = [`${id}@example.com`, `${code} is your verification code`, new Date()];
    const event = { ...email({ slug: "verification_code", to, subject, code, at }), type };
    const missing = BODY_BYTES - Buffer.byteLength(JSON.stringify(event));
    event.data.body = event.data.body.replace("</body>", `${filler(missing)}</body>`);
    const body = JSON.stringify(event);
    const timestamp = String(Math.floor(at / 1000));
    const headers = {
      "content-type": "application/json",
      "user-agent": "Svix-Webhooks/bench",
      "svix-id": id,
      "svix-timestamp": timestamp,
      "svix-signature": sign(secret, id, timestamp, body),
    };
    return { id, to, subject, headers, body };
  });
}

/** Markup as in Clerk's templates, of that length in JSON, where a line break takes two characters. */
function filler(length) {
  const row = "<tr><td style='margin: 16px 0 0; font-family: Helvetica, Arial, sans-serif;'></td></tr>\n";
  const rows = row.repeat(Math.max(0, Math.floor(length / (row.length + 1))));
  return rows + " ".repeat(Math.max(0, length - rows.length - rows.length / row.length));
}
