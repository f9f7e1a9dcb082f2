// What people would write from Clerk's documentation: `verifyWebhook` from Clerk's own package, one KV read that finds
// a repeated webhook, one request to Nylas, one KV write that records the mail, and the answer.
import { verifyWebhook } from "@clerk/backend/webhooks";

const TWO_WEEKS = 14 * 24 * 60 * 60;

export default {
  async fetch(request, env) {
    let event;
    try {
      event = await verifyWebhook(request, { signingSecret: env.CLERK_WEBHOOK_SIGNING_SECRET });
    } catch {
      return Response.json({ status: "bad_signature" }, { status: 400 });
    }
    if (event.type !== "email.created" || event.data.delivered_by_clerk) return Response.json({ status: "ignored" });

    const id = request.headers.get("svix-id");
    if (await env.LEDGER.get(id)) return Response.json({ status: "duplicate" });

    const sent = await fetch(`${env.NYLAS_API_BASE}/v3/grants/${env.NYLAS_GRANT_ID}/messages/send`, {
      method: "POST",
      headers: {
        Authorization: `Bearer ${env.NYLAS_API_KEY}`,
        "Content-Type": "application/json",
        "Idempotency-Key": id,
      },
      body: JSON.stringify({
        from: [{ email: env.MAIL_FROM }],
        to: [{ email: event.data.to_email_address }],
        subject: event.data.subject,
        body: event.data.body,
      }),
    });
    if (!sent.ok) return Response.json({ status: "retry" }, { status: 503 });
    const { data } = await sent.json();
    await env.LEDGER.put(id, data.id, { expirationTtl: TWO_WEEKS });
    return Response.json({ status: "sent" });
  },
};
