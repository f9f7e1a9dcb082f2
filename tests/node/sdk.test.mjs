// Nylas' official Node SDK against the stand-in: proof that it speaks what the real service's clients expect.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import Nylas, { NylasApiError } from 'nylas';
import { ADDRESS as EMAIL, API_KEY, GRANT, startStandIn } from './stand-in.mjs';

let standIn, nylas, stranger;

before(async () => {
  standIn = await startStandIn();
  nylas = new Nylas({ apiKey: API_KEY, apiUri: standIn.base, timeout: 10 });
  stranger = new Nylas({ apiKey: 'another', apiUri: standIn.base, timeout: 10 });
});

after(() => standIn?.stop());

const mail = (id) => ({
  to: [{ email: 'ada@example.com' }],
  from: [{ email: EMAIL, name: 'Acme' }],
  subject: 'Your code',
  body: '<p>1</p>',
  metadata: { key1: id },
});
const send = (id, requestBody = mail(id)) =>
  nylas.messages.send({ identifier: GRANT, requestBody, overrides: { headers: { 'Idempotency-Key': id } } });

test('a mail is sent, and the same key answers the same mail', async () => {
  const first = await send('msg_1');
  const second = await send('msg_1');
  assert.ok(first.data.id);
  assert.equal(second.data.id, first.data.id);
  const found = await nylas.messages.list({ identifier: GRANT, queryParams: { metadataPair: { key1: 'msg_1' } } });
  assert.deepEqual(found.data.map((message) => message.id), [first.data.id]);
});

test('a sent mail is listed and found', async () => {
  const sent = await send('msg_2');
  const list = await nylas.messages.list({ identifier: GRANT, queryParams: { limit: 1 } });
  assert.equal(list.data.length, 1);
  const found = await nylas.messages.find({ identifier: GRANT, messageId: sent.data.id, queryParams: { fields: 'include_headers' } });
  assert.equal(found.data.subject, 'Your code');
  assert.ok(found.data.headers.length > 0);
});

test('errors are the errors the SDK knows', async () => {
  await send('msg_3');
  await assert.rejects(send('msg_3', { ...mail('msg_3'), subject: 'Other' }), (error) => error.statusCode === 409);
  await assert.rejects(send('msg_4', { ...mail('msg_4'), to: [] }), (error) => error instanceof NylasApiError && error.statusCode === 400);
  await assert.rejects(
    stranger.messages.list({ identifier: GRANT }),
    (error) => error.statusCode === 401,
  );
});

test('grants and folders are as documented', async () => {
  const grant = await nylas.grants.find({ grantId: GRANT });
  assert.equal(grant.data.email, EMAIL);
  assert.equal(grant.data.provider, 'nylas');
  await assert.rejects(nylas.grants.find({ grantId: 'unknown' }), (error) => error.statusCode === 404);
  const folders = await nylas.folders.list({ identifier: GRANT });
  assert.equal(folders.data.length, 6);
  const sent = folders.data.find((folder) => folder.attributes?.includes('\\Sent'));
  const inSent = await nylas.messages.list({ identifier: GRANT, queryParams: { in: [sent.id] } });
  assert.ok(inSent.data.length > 0);
});

test('a webhook is created after its challenge, listed, and its secret rotated', async () => {
  const server = createServer((request, response) => {
    response.end(new URL(request.url, 'http://local').searchParams.get('challenge'));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const webhookUrl = `http://127.0.0.1:${server.address().port}/hook`;
  try {
    const created = await nylas.webhooks.create({ requestBody: { triggerTypes: ['message.created'], webhookUrl } });
    assert.ok(created.data.webhookSecret);
    const list = await nylas.webhooks.list();
    assert.deepEqual(list.data.map((webhook) => webhook.id), [created.data.id]);
    const rotated = await nylas.webhooks.rotateSecret({ webhookId: created.data.id });
    assert.notEqual(rotated.data.webhookSecret, created.data.webhookSecret);
  } finally {
    server.close();
  }
  const nobody = { triggerTypes: ['message.created'], webhookUrl };
  await assert.rejects(nylas.webhooks.create({ requestBody: nobody }), (error) => error.statusCode === 400);
});
