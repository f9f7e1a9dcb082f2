// The form of hand-offs: the schema describes it, and the official libraries verify its signature. tests/e2e shows that
// the Worker's own hand-offs have this form.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { sign } from "../../scripts/sample.mjs";
import { wrong } from "../replies/schema.mjs";

const path = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const python = process.env.STANDARDWEBHOOKS_PYTHON;
const skip = python ? false : "no Python with standardwebhooks";

/** The sample in docs/replies.md. */
const sample = () => JSON.parse(readFileSync(path("docs/replies.md"), "utf8").match(/```json\n([\s\S]*?)```/)[1]);
const changed = (change) => {
  const payload = sample();
  change(payload);
  return payload;
};

test("the documented payload and every variant of it fit the schema", () => {
  for (const change of [
    () => {},
    (p) => (p.in_reply_to = null),
    (p) => Object.assign(p.in_reply_to, { template: null, user_id: null, sender_is_recipient: false }),
    (p) => delete p.message.from.name,
    (p) => (p.message.from.email = null),
    (p) => (p.message.thread_id = null),
    (p) => Object.assign(p.message, { subject: "", text: "", quoted_text: "", truncated: true, attachments: 3 }),
  ])
    assert.equal(wrong(changed(change)), null, String(change));
});

test("a member that is missing, of another type or in milliseconds does not fit", () => {
  for (const name of Object.keys(sample())) assert.ok(wrong(changed((p) => delete p[name])), name);
  for (const name of Object.keys(sample().message)) assert.ok(wrong(changed((p) => delete p.message[name])), name);
  for (const name of Object.keys(sample().in_reply_to))
    assert.ok(wrong(changed((p) => delete p.in_reply_to[name])), name);
  for (const change of [
    (p) => (p.version = 2),
    (p) => (p.type = "reply.sent"),
    (p) => (p.id = p.id.toUpperCase()),
    (p) => (p.account = ""),
    (p) => (p.message.received_at *= 1000),
    (p) => (p.message.received_at = "2023-11-14T22:13:20Z"),
    (p) => (p.message.from = "jane@example.com"),
    (p) => (p.message.from.email = "Jane <jane@example.com>"),
    (p) => (p.message.from.name = null),
    (p) => (p.message.text = null),
    (p) => (p.message.attachments = []),
    (p) => (p.in_reply_to = {}),
    (p) => (p.in_reply_to.sent_at *= 1000),
    (p) => (p.in_reply_to.sender_is_recipient = null),
  ])
    assert.ok(wrong(changed(change)), String(change));
});

test("a new member fits the schema, but not the relay's own stricter tests", () => {
  for (const change of [
    (p) => (p.more = 1),
    (p) => (p.message.more = 1),
    (p) => (p.message.from.more = 1),
    (p) => (p.in_reply_to.more = 1),
  ]) {
    assert.equal(wrong(changed(change), { strictly: false }), null);
    assert.match(wrong(changed(change)), /additional properties/);
  }
});

test("every member is described", () => {
  const walk = (part, at) => {
    for (const [name, member] of Object.entries(part.properties ?? {})) {
      assert.ok(member.description, `${at}/${name}`);
      walk(member, `${at}/${name}`);
    }
  };
  walk(JSON.parse(readFileSync(path("docs/reply.schema.json"), "utf8")), "");
});

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
function signed({
  at = Math.floor(Date.now() / 1000),
  by = secret,
  body = JSON.stringify(sample()),
  scheme = (s) => s,
} = {}) {
  const id = sample().id;
  const headers = {
    "Webhook-Id": id,
    "webhook-timestamp": String(at),
    "webhook-signature": scheme(sign(by, id, at, body)),
    "content-type": "application/json",
  };
  return { secret, headers, body };
}
const lines = () => [
  signed(),
  signed({ body: JSON.stringify({ text: "žluťoučký \u{1f40e} \u2028 \ud7ff" }) }),
  signed({ scheme: (s) => `v1,AAAA ${s} v2,AAAA` }),
  signed({ by: "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }),
  signed({ at: Math.floor(Date.now() / 1000) - 330 }),
  { ...signed(), body: JSON.stringify(changed((p) => (p.message.text += "."))) },
];
/** Runs a verifier with these lines as its input. Returns its exit code and answers. */
function answers(program, script, input) {
  const { status, stdout, stderr, error } = spawnSync(program, [path(script)], {
    input: input.map((line) => `${JSON.stringify(line)}\n`).join(""),
    encoding: "utf8",
  });
  assert.equal(stderr, "", error?.message);
  return [status, stdout.trimEnd().split("\n")];
}
const expected = [
  1,
  [
    "ok",
    "ok",
    "ok",
    "error: No matching signature found",
    "error: Message timestamp too old",
    "error: No matching signature found",
  ],
];

test("the official JavaScript library accepts what is signed so, and nothing else", () => {
  assert.deepEqual(answers(process.execPath, "tests/replies/verify.mjs", lines()), expected);
});

test("the official Python library accepts what is signed so, and nothing else", { skip }, () => {
  assert.deepEqual(answers(python, "tests/replies/verify.py", lines()), expected);
});

test("bodies are checked against the schema, line by line", () => {
  const good = answers(process.execPath, "tests/replies/schema.mjs", [
    signed(),
    { body: JSON.stringify(changed((p) => (p.in_reply_to = null))) },
  ]);
  assert.deepEqual(good, [0, ["ok", "ok"]]);
  const bad = answers(process.execPath, "tests/replies/schema.mjs", [
    { body: JSON.stringify(changed((p) => (p.message.text = 1))) },
  ]);
  assert.deepEqual(bad, [1, ["error: /message/text must be string"]]);
});
