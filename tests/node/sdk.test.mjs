// Nylas' official Node SDK against the stand-in: proof that it speaks what the real service's clients expect.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import Nylas, { NylasApiError, NylasSdkTimeoutError } from "nylas";
import { ADDRESS, API_KEY, GRANT, control, startStandIn } from "./stand-in.mjs";

let standIn, nylas, stranger;

before(async () => {
  standIn = await startStandIn();
  nylas = new Nylas({ apiKey: API_KEY, apiUri: standIn.base, timeout: 10 });
  stranger = new Nylas({ apiKey: "nyk_wrong", apiUri: standIn.base, timeout: 10 });
});
after(() => standIn?.stop());

const mail = (to, more = {}) => ({
  to: [{ email: to, name: "Ada" }],
  from: [{ email: ADDRESS, name: "Acme" }],
  subject: "123456 is your code",
  body: "<p>123456</p>",
  metadata: { key1: `msg_${to}` },
  customHeaders: [{ name: "Auto-Submitted", value: "auto-generated" }],
  ...more,
});

const send = (key, requestBody, more = {}) =>
  nylas.messages.send({ identifier: GRANT, requestBody, overrides: { headers: { "Idempotency-Key": key }, ...more } });

const refused = (promise, statusCode, type) =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof NylasApiError, String(error));
    assert.deepEqual([error.statusCode, error.type], [statusCode, type]);
    assert.ok(error.requestId);
    return true;
  });

const inbox = async (to) =>
  (await (await fetch(`${standIn.base}/inbox.json`)).json()).filter((taken) => taken.to === to);

async function listen(handler) {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { server, url: `http://127.0.0.1:${server.address().port}/hook`, stop };
}

/** A destination for notifications: echoes challenges and collects the rest. */
async function destination() {
  const received = [];
  const { server, url, stop } = await listen(async (request, response) => {
    if (request.method === "GET") {
      const challenge = nylas.webhooks.extractChallengeParameter(`http://localhost${request.url}`);
      response.writeHead(200, { "Content-Length": challenge.length }).end(challenge);
      return;
    }
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    received.push({ signature: request.headers["x-nylas-signature"], body: Buffer.concat(chunks) });
    server.emit("received");
    response.writeHead(200, { "Content-Length": 0 }).end();
  });
  const next = async () => {
    while (received.length === 0) await once(server, "received", { signal: AbortSignal.timeout(5000) });
    return received.shift();
  };
  return { url, next, stop };
}

test("messages.send: a mail, and the answer the SDK's types promise", async () => {
  const to = "send@example.com";
  const { data, requestId } = await send(
    "send-1",
    mail(to, { replyTo: [{ email: "help@acme.example" }], isPlaintext: false }),
  );
  assert.ok(requestId);
  assert.equal(data.object, "message");
  assert.equal(data.grantId, GRANT);
  assert.equal(data.subject, "123456 is your code");
  assert.deepEqual(data.from, [{ email: ADDRESS, name: "Acme" }]);
  assert.deepEqual(data.to, [{ email: to, name: "Ada" }]);
  for (const name of ["id", "threadId", "snippet"]) assert.equal(typeof data[name], "string", name);
  assert.equal(typeof data.date, "number");

  const [taken] = await inbox(to);
  assert.equal(taken.id, data.id);
  assert.equal(taken.idempotency_key, "send-1");
  assert.equal(taken.reply_to, "help@acme.example");
  assert.deepEqual(taken.metadata, { key1: `msg_${to}` });
  assert.deepEqual(taken.custom_headers, [["Auto-Submitted", "auto-generated"]]);
});

test("messages.send: the same key again is the same answer and no second mail", async () => {
  const to = "replay@example.com";
  const first = await send("replay-1", mail(to));
  const second = await send("replay-1", mail(to));
  assert.deepEqual(second.data, first.data);
  assert.deepEqual(
    [first, second].map(({ rawHeaders }) => rawHeaders["idempotent-response"]),
    [undefined, "true"],
  );
  assert.equal((await inbox(to)).length, 1);
  const requests = await (await fetch(`${standIn.base}/requests.json`)).json();
  assert.deepEqual(
    requests.filter(({ recipient }) => recipient === to).map(({ replayed }) => replayed),
    [false, true],
  );
});

test("messages.send: errors are NylasApiErrors with Nylas' types", async () => {
  const to = "errors@example.com";
  const tracked = { opens: true, links: false, threadReplies: false };
  await send("errors-1", mail(to));
  await refused(send("errors-1", mail(to, { subject: "another" })), 409, "api.invalid_idempotent_request");
  await refused(send("k".repeat(257), mail(to)), 400, "api.invalid_idempotency_key");
  await refused(send("errors-2", mail("nobody")), 400, "invalid_request_error");
  await refused(send("errors-3", mail(to, { to: [] })), 400, "invalid_request_error");
  await refused(send("errors-4", mail(to, { from: [{ email: "else@acme.example" }] })), 400, "invalid_request_error");
  await refused(send("errors-5", mail(to, { trackingOptions: tracked })), 400, "invalid_request_error");
  await refused(nylas.messages.send({ identifier: "nobody", requestBody: mail(to) }), 404, "not_found_error");
  await refused(stranger.messages.send({ identifier: GRANT, requestBody: mail(to) }), 401, "token.unauthorized_access");
  await refused(stranger.messages.list({ identifier: GRANT }), 401, "token.unauthorized_access");
  assert.equal((await inbox(to)).length, 1);
});

test("messages.send: a timeout, then the key in flight, then the answer", async () => {
  const to = "late@example.com";
  await control(standIn.base, "rules", { recipient: to, times: 1, action: { accept_after_ms: 1600 } });
  await assert.rejects(send("late-1", mail(to), { timeout: 1 }), NylasSdkTimeoutError);
  await refused(send("late-1", mail(to)), 409, "api.concurrent_idempotent_request");
  assert.equal((await fetch(`${standIn.base}/inbox/wait?to=${to}&timeout_ms=5000`)).status, 200);
  assert.equal((await send("late-1", mail(to))).data.id, (await inbox(to))[0].id);
});

test("messages.send: the answers of rules", async () => {
  const to = "script@example.com";
  const once = (action) => control(standIn.base, "rules", { recipient: to, times: 1, action });
  const error = { type: "rate_limit_error", message: "Too many requests, please try again shortly." };
  await once({ answer: { status: 429, headers: [["Retry-After", "3"]], body: { request_id: "r-1", error } } });
  await refused(send("script-1", mail(to)), 429, "rate_limit_error");
  await once("drop_before");
  await assert.rejects(send("script-1", mail(to)));
  await once("queue_202");
  const { data } = await send("script-1", mail(to));
  assert.equal(data.id, (await inbox(to))[0].id);
});

test("messages.list and find: by metadata, by folder, page by page, with headers", async () => {
  const to = "list@example.com";
  const list = (queryParams) => nylas.messages.list({ identifier: GRANT, queryParams });
  const sent = [];
  for (const n of [1, 2, 3])
    sent.push((await send(`list-${n}`, mail(to, { metadata: { key2: "list", key1: `list ${n}` } }))).data.id);

  const found = await list({ metadataPair: { key1: "list 2" } });
  assert.deepEqual(
    found.data.map(({ id }) => id),
    [sent[1]],
  );
  assert.equal(found.nextCursor, undefined);
  await refused(list({ metadataPair: { key1: "list 2" }, receivedAfter: 1 }), 400, "invalid_request_error");

  const pages = [];
  for await (const page of list({ metadataPair: { key2: "list" }, limit: 2 }))
    pages.push(page.data.map(({ id }) => id));
  assert.deepEqual(
    pages.map(({ length }) => length),
    [2, 1],
  );
  assert.deepEqual(pages.flat().sort(), [...sent].sort());

  const folders = await nylas.folders.list({ identifier: GRANT });
  assert.deepEqual(
    folders.data.map(({ name }) => name),
    ["inbox", "sent", "drafts", "trash", "junk", "archive"],
  );
  const folder = folders.data.find(({ attributes }) => attributes.includes("\\Sent"));
  assert.equal(folder.systemFolder, true);
  const inSent = await list({ in: [folder.id], to: [to] });
  assert.equal(inSent.data.length, 3);
  assert.ok(inSent.data.every(({ folders: ids }) => ids.includes(folder.id)));
  await refused(list({ in: ["sent"] }), 400, "invalid_request_error");

  const plain = await nylas.messages.find({ identifier: GRANT, messageId: sent[0] });
  assert.equal(plain.data.headers, undefined);
  assert.deepEqual(plain.data.metadata, { key2: "list", key1: "list 1" });
  const whole = await nylas.messages.find({
    identifier: GRANT,
    messageId: sent[0],
    queryParams: { fields: "include_headers" },
  });
  assert.ok(whole.data.headers.some(({ name, value }) => name === "Auto-Submitted" && value === "auto-generated"));
  await refused(nylas.messages.find({ identifier: GRANT, messageId: "none" }), 404, "not_found_error");
});

test("grants.find, and an account made twice is one account", async () => {
  const { data } = await nylas.grants.find({ grantId: GRANT });
  const { id, provider, email, name, grantStatus, blocked } = data;
  assert.deepEqual(
    { id, provider, email, name, grantStatus, blocked },
    { id: GRANT, provider: "nylas", email: ADDRESS, name: "Acme", grantStatus: "valid", blocked: false },
  );
  assert.equal(typeof data.createdAt, "number");
  await refused(nylas.grants.find({ grantId: "nobody" }), 404, "not_found_error");

  const requestBody = { provider: "nylas", name: "Second", settings: { email: "second@acme.example" } };
  const made = await nylas.auth.customAuthentication({ requestBody });
  const again = await nylas.auth.customAuthentication({ requestBody });
  assert.equal(made.data.grantStatus, "valid");
  assert.equal(again.data.id, made.data.id);
  assert.equal((await nylas.grants.find({ grantId: made.data.id })).data.email, "second@acme.example");
});

test("webhooks: created with a challenge, listed, notified with a signature, changed, given a new secret", async () => {
  const hook = await destination();
  try {
    const requestBody = {
      triggerTypes: ["message.created", "message.bounced"],
      webhookUrl: hook.url,
      description: "relay",
    };
    const { data: made } = await nylas.webhooks.create({ requestBody });
    assert.equal(made.status, "active");
    assert.deepEqual(made.triggerTypes, requestBody.triggerTypes);
    const { data: listed } = await nylas.webhooks.list();
    assert.deepEqual(
      listed.map(({ id, webhookSecret }) => ({ id, webhookSecret })),
      [{ id: made.id, webhookSecret: undefined }],
    );

    const notified = async (secret) => {
      const { signature, body } = await hook.next();
      assert.equal(signature, createHmac("sha256", secret).update(body).digest("hex"));
      return JSON.parse(body);
    };
    const { data: sent } = await send("hook-1", mail("hook@example.com"));
    assert.equal((await notified(made.webhookSecret)).data.object.id, sent.id);

    const inbound = {
      grant_id: GRANT,
      from: "hook@example.com",
      subject: "Re: code",
      body: "Not me",
      in_reply_to_message_id: sent.id,
    };
    const { message_id } = await control(standIn.base, "inbound", inbound);
    const reply = await notified(made.webhookSecret);
    assert.equal(reply.type, "message.created");
    assert.deepEqual([reply.data.object.id, reply.data.object.thread_id], [message_id, sent.threadId]);

    const triggerTypes = [...requestBody.triggerTypes, "message.send_failed"];
    const { data: changed } = await nylas.webhooks.update({ webhookId: made.id, requestBody: { triggerTypes } });
    assert.deepEqual([changed.triggerTypes, changed.description, changed.status], [triggerTypes, "relay", "active"]);

    const { data: rotated } = await nylas.webhooks.rotateSecret({ webhookId: made.id });
    assert.notEqual(rotated.webhookSecret, made.webhookSecret);
    await control(standIn.base, "mail-events", { mail_id: sent.id, event: { bounced: { kind: "MailboxFull" } } });
    const bounced = await notified(rotated.webhookSecret);
    assert.equal(bounced.data.object.message.metadata.key1, "msg_hook@example.com");
  } finally {
    hook.stop();
  }
});

test("webhooks: a destination that does not echo, or is gone, is refused", async () => {
  const { url: webhookUrl, stop } = await listen((_, response) => response.writeHead(404).end());
  const create = () => nylas.webhooks.create({ requestBody: { triggerTypes: ["message.created"], webhookUrl } });
  await refused(create(), 400, "70005");
  stop();
  await refused(create(), 400, "70005");
});
