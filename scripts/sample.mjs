// A signed sample of Clerk's `email.created`, for the bench and the tests. People use `relayctl trigger`.
import { createHmac, randomBytes } from "node:crypto";

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
