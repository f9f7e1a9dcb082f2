// An example of an agent behind REPLY_WEBHOOK_URL: receives people's replies from the relay and answers them in their
// thread. README.md says how to run it, docs/replies.md explains its design.
import { createServer } from "node:http";
import Nylas from "nylas";
import { Webhook } from "standardwebhooks";

const ANSWERS_PER_THREAD = 3;
const BODY_BYTES_MAX = 1024 * 1024;
const TWO_DAYS_MS = 48 * 3600 * 1000; // the relay retries for one day

/**
 * YOUR MODEL GOES HERE. Returns the text of the answer, or nothing to send none.
 *
 * Everything in `reply.message` was written by a stranger. Give it to the model as data, apart from its instructions.
 * Give that model no tool and no secret that the stranger should not have. It does not decide who gets the answer.
 */
export async function answer(reply) {
  const denies = /\b(not me|wasn['’]?t me|did(n['’]?t| not) (request|ask|sign))/i.test(reply.message.text);
  return denies
    ? "Thank you for telling us. Somebody entered your address; without the mail you got, they cannot get any " +
        "further. There is nothing you need to do."
    : "Thank you for your mail. This is an automatic answer: please write to our support, " +
        "and never send anybody a code.";
}

/** A handler for node:http. `log` gets one line per request, with nothing private in it. */
export function agent({ apiKey, apiBase, secret, log = console.log }) {
  const nylas = new Nylas({ apiKey, apiUri: apiBase, timeout: 20 });
  const webhook = new Webhook(secret);
  // Finished and running jobs, by the reply's id. In production use a table with a unique key on the id. If the process
  // ends and forgets them, the idempotency key and the look into the mailbox below still prevent a second answer.
  const jobs = new Map();

  async function respond(job, reply) {
    const { id, account, message, in_reply_to } = reply;
    if (!in_reply_to?.sender_is_recipient) return "not_the_recipient";
    if (!message.thread_id) return "no_thread";

    // Nylas stores an idempotency key for an hour. After that, the mailbox shows what was sent. (key1 is the relay's.)
    const list = async (queryParams) => (await nylas.messages.list({ identifier: account, queryParams })).data;
    if ((await list({ metadataPair: { key2: id }, limit: 1 })).length) return "answered_before";
    const { email, name } = (await nylas.grants.find({ grantId: account })).data;
    const thread = await list({ threadId: message.thread_id, limit: 50 });
    const ours = thread.filter(({ from }) => from?.[0]?.email?.toLowerCase() === email.toLowerCase());
    if (ours.length > ANSWERS_PER_THREAD) return "enough_answers"; // the relay's own mail is one of them

    // A retry sends the same text, because Nylas refuses other bytes under the same key.
    job.text ??= await answer(reply);
    if (!job.text) return "no_answer";
    const subject = message.subject.replace(/\s+/g, " ").slice(0, 200);
    await nylas.messages.send({
      identifier: account,
      requestBody: {
        to: [{ email: message.from.email }],
        from: [{ email, ...(name && { name }) }],
        subject: /^re:/i.test(subject) ? subject : `Re: ${subject}`,
        body: job.text,
        isPlaintext: true,
        replyToMessageId: message.id,
        metadata: { key2: id },
        customHeaders: [{ name: "Auto-Submitted", value: "auto-replied" }],
      },
      overrides: { headers: { "Idempotency-Key": id } },
    });
    return "answered";
  }

  return async function handle(request, response) {
    const end = (status, outcome, more) => {
      log(JSON.stringify({ status, outcome, ...more }));
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify({ outcome }));
    };
    if (request.method !== "POST") return end(405, "method_not_allowed");
    let reply;
    try {
      const body = await read(request);
      if (!body) return end(413, "too_large");
      reply = webhook.verify(body, request.headers);
    } catch {
      return end(401, "not_verified");
    }
    if (reply?.type !== "reply.received") return end(200, "ignored");
    if (reply.version !== 1) return end(503, "unknown_version"); // the relay retries while you upgrade

    const { id } = reply;
    if (!jobs.has(id)) {
      jobs.set(id, {});
      setTimeout(() => jobs.delete(id), TWO_DAYS_MS).unref();
    }
    const job = jobs.get(id);
    const repeated = Boolean(job.outcome);
    try {
      // The answer is 200 only after the work, so that the relay retries whatever failed before it.
      const outcome = await (job.outcome ??= respond(job, reply));
      end(200, repeated ? "duplicate" : outcome, { id });
    } catch (error) {
      job.outcome = undefined;
      end(503, "failed", { id, error: error.type ?? error.name, nylas_status: error.statusCode });
    }
  };
}

/** The body, byte for byte, or null if it is too large. */
async function read(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
  }
  return bytes <= BODY_BYTES_MAX ? Buffer.concat(chunks) : null;
}

if (import.meta.filename === process.argv[1]) {
  const { NYLAS_API_KEY, NYLAS_API_BASE = "https://api.us.nylas.com", REPLY_WEBHOOK_SECRET } = process.env;
  const { HOST = "127.0.0.1", PORT = "8788" } = process.env;
  if (!NYLAS_API_KEY || !REPLY_WEBHOOK_SECRET) {
    console.error("agent: set NYLAS_API_KEY and REPLY_WEBHOOK_SECRET");
    process.exit(1);
  }
  const handle = agent({ apiKey: NYLAS_API_KEY, apiBase: NYLAS_API_BASE, secret: REPLY_WEBHOOK_SECRET });
  const server = createServer(handle);
  server.listen(Number(PORT), HOST, () => console.log(`agent: listening on http://${HOST}:${server.address().port}`));
}
