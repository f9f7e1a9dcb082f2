// Posts a signed sample of Clerk's `email.created` to a running relay, the way Clerk (through Svix) does.
// Started by scripts/send-sample and `make dev`.
import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

const usage = `scripts/send-sample [options]: posts a signed email.created to the relay
  --to ADDR        recipient (default: ada@example.com)
  --slug SLUG      template (default: verification_code)
  --subject TEXT   subject
  --file FILE      a payload of your own; sent as it is but for delivered_by_clerk and timestamp
                   (--raw: byte for byte)
  --id ID          message id; the same id again is a redelivery of the same message
  --repeat N       the same request N times at once
  --age SECONDS    pretends that Clerk made the event that long ago
  --forge          signs with a wrong secret
  --url URL        the relay (default: $RELAY_URL or http://127.0.0.1:8787)
  --secret SECRET  whsec_... (default: $CLERK_WEBHOOK_SIGNING_SECRET or the one of make dev)`;

/// A published example. A deployed Worker refuses it.
const LOCAL_SECRET = readFileSync(new URL("dev-secret", import.meta.url), "utf8").trim();

/// Svix: base64(HMAC-SHA256(secret, "id.timestamp.body")), the secret being base64 after `whsec_`.
export function sign(secret, id, timestamp, body) {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  return "v1," + createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
}

const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

export function email({ slug, to, subject, code, at }) {
  const title = slug.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase());
  const instruction = "Enter the following verification code when prompted:";
  const warning = "To protect your account, do not share this code.";
  const plain = `${title}\n\n${instruction}\n\n${code}\n\n${warning}\n`;
  const font = "font-family: Helvetica, Arial, sans-serif;";
  const p = (size, text, style = "") =>
    `<p style="margin: 16px 0 0; ${font} color: #000000; font-size: ${size}px; line-height: 1.5;${style}">${text}</p>`;
  const table = (width, cell) =>
    `<table cellpadding="0" cellspacing="0" border="0" width="${width}"><tbody><tr>${cell}`;
  const request =
    `<b>Didn't request this?</b> This code was requested using <b>Chrome, OS X</b> at <b>${at.toUTCString()}</b>. ` +
    "If you didn't make this request, you can safely ignore this email.";
  const dtd = "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd";
  const html = `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "${dtd}">
<html xmlns="http://www.w3.org/1999/xhtml">
  <head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"><title>${escape(subject)}</title></head>
  <body style="margin: 0; padding: 0; background-color: #ffffff;">
    ${table("100%", '<td align="center" style="padding: 48px 32px;">')}
      ${table("600", '<td align="left" style="padding: 16px 32px;">')}
        ${p(24, "Acme")}
        <h1 style="margin: 32px 0 0; ${font} font-size: 32px;">${escape(title)}</h1>
        ${p(14, instruction)}
        ${p(40, `<b>${code}</b>`)}
        ${p(14, warning)}
        ${p(14, request, " padding-top: 48px;")}
      </td></tr></tbody></table>
    </td></tr></tbody></table>
  </body>
</html>`;
  return {
    object: "event",
    type: "email.created",
    instance_id: "ins_local",
    timestamp: at.getTime(),
    event_attributes: { http_request: { client_ip: "192.0.2.1", user_agent: "Mozilla/5.0 (sample)" } },
    data: {
      object: "email",
      id: `ema_${randomBytes(12).toString("hex")}`,
      slug,
      status: "queued",
      delivered_by_clerk: false,
      to_email_address: to,
      from_email_name: "notifications",
      reply_to_email_name: null,
      email_address_id: "idn_local",
      user_id: "user_local",
      subject,
      body: html,
      body_plain: plain,
      data: {
        app: {
          name: "Acme",
          url: "https://accounts.example.com",
          domain_name: "example.com",
          logo_image_url: null,
          logo_url: null,
        },
        otp_code: code,
        requested_at: at.toUTCString(),
        requested_by: "Chrome, OS X",
        theme: { primary_color: "#335bf1", button_text_color: "#ffffff", show_clerk_branding: true },
        user: { public_metadata: {}, public_metadata_fallback: "" },
      },
    },
  };
}

async function main() {
  const { values } = parseArgs({
    options: {
      to: { type: "string", default: "ada@example.com" },
      slug: { type: "string", default: "verification_code" },
      subject: { type: "string" },
      file: { type: "string" },
      raw: { type: "boolean" },
      id: { type: "string" },
      repeat: { type: "string", default: "1" },
      age: { type: "string", default: "0" },
      forge: { type: "boolean" },
      url: { type: "string", default: process.env.RELAY_URL || "http://127.0.0.1:8787" },
      secret: { type: "string", default: process.env.CLERK_WEBHOOK_SIGNING_SECRET || LOCAL_SECRET },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return console.log(usage);
  const repeat = Number(values.repeat);
  const age = Number(values.age);
  if (!Number.isInteger(repeat) || repeat < 1 || repeat > 100) throw new Error("--repeat takes a number from 1 to 100");
  if (!Number.isFinite(age)) throw new Error("--age takes a number of seconds");

  const at = new Date(Date.now() - age * 1000);
  let body;
  if (values.file && values.raw) {
    body = readFileSync(values.file);
  } else if (values.file) {
    const payload = JSON.parse(readFileSync(values.file, "utf8"));
    payload.timestamp = at.getTime();
    if (payload.data) payload.data.delivered_by_clerk = false;
    body = JSON.stringify(payload);
  } else {
    const code = String(100000 + (randomBytes(4).readUInt32BE() % 900000));
    const subject = values.subject ?? `${code} is your verification code`;
    body = JSON.stringify(email({ slug: values.slug, to: values.to, subject, code, at }));
  }

  const id = values.id ?? `msg_${randomBytes(18).toString("base64url").replace(/[-_]/g, "0")}`;
  // Svix signs with the time of the delivery, not that of the event.
  const timestamp = String(Math.floor(Date.now() / 1000));
  const secret = values.forge ? `whsec_${randomBytes(24).toString("base64")}` : values.secret;
  const headers = {
    "content-type": "application/json",
    "user-agent": "Svix-Webhooks/sample",
    "svix-id": id,
    "svix-timestamp": timestamp,
    "svix-signature": sign(secret, id, timestamp, body),
  };

  const answers = await Promise.all(
    Array.from({ length: repeat }, async () => {
      const started = performance.now();
      const response = await fetch(new URL("/api/webhooks/clerk", values.url), { method: "POST", headers, body });
      const text = await response.text();
      return `${response.status} ${text.trim()} (${Math.round(performance.now() - started)} ms)`;
    }),
  );
  for (const answer of answers) console.log(answer);
}

if (import.meta.filename === process.argv[1]) {
  main().catch((error) => {
    const refused = error?.cause?.code === "ECONNREFUSED";
    const hint = "nothing answers there: is `make dev` running? (--url names another address)";
    console.error(`send-sample: ${refused ? hint : error.message}`);
    process.exit(1);
  });
}
