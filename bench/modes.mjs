// The four kinds of request that are measured, and what must come of them.
import { randomBytes } from "node:crypto";
import { email, sign } from "../scripts/sample.mjs";

export const SIGNING_SECRET = "whsec_YmVuY2gtc2lnbmluZy1zZWNyZXQtMjQ=";
const ANOTHER_SECRET = "whsec_YW5vdGhlci1zZWNyZXQtb2YtMjQtYnl0";

/** Clerk's e-mail events are 9 to 12 kB. */
const BODY_BYTES = 10_000;

/**
 * - `answer`: what every request must be answered: the code, and `status` in the JSON body.
 * - `mails`: how many mails of each request Nylas must have been asked for.
 * - `inFlight`: requests at once. Where a handler waits for nobody a second one would only stand in a queue.
 * - `times`: how many times the requests of a turn are made, where they are over so soon that it takes many to tell.
 * - `sentBefore`: each request was answered before, unmeasured.
 */
export const MODES = {
  mail: { answer: "200 sent", mails: 1, inFlight: 8, times: 1 },
  forged: { answer: "400 bad_signature", mails: 0, inFlight: 1, times: 4, secret: ANOTHER_SECRET },
  ignored: { answer: "200 ignored", mails: 0, inFlight: 1, times: 4, type: "sms.created" },
  duplicate: { answer: "200 duplicate", mails: 0, inFlight: 8, times: 1, sentBefore: true },
};

/** As many signed requests, each of another message to another recipient. */
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

/** Markup as in Clerk's templates, of that length in JSON, where each of its line ends is two characters. */
function filler(length) {
  const row = "<tr><td style='margin: 16px 0 0; font-family: Helvetica, Arial, sans-serif;'></td></tr>\n";
  const rows = row.repeat(Math.max(0, Math.floor(length / (row.length + 1))));
  return rows + " ".repeat(Math.max(0, length - rows.length - rows.length / row.length));
}
