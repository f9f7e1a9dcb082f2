// The bench measures, and gives no figures for a handler that does its work wrong. These tests assert no times.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Refused, bench } from "../../bench/bench.mjs";

const path = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** Enough to show that everything is measured, too little for meaningful figures. */
const FEW = {
  rounds: 1,
  requests: 4,
  warmUp: 0,
  starts: 0,
  latency: { kv: 2, nylas: 3 },
  modes: ["mail"],
  relays: [],
  handlers: [],
  receivesReplies: true,
};

const FEW_OPTIONS = "--rounds 1 --requests 4 --warm-up 0 --kv-ms 2 --nylas-ms 3".split(" ");

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), "bench-test-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the command. Returns its exit code and what it printed. */
function command(...options) {
  return new Promise((done) => {
    execFile(process.execPath, [path("bench/run.mjs"), ...options], (error, stdout, stderr) =>
      done({ code: error?.code ?? 0, stdout, stderr }),
    );
  });
}

/** The expert's handler with a piece of it changed. */
function changed(name, from, to) {
  const source = readFileSync(path("bench/handlers/expert.mjs"), "utf8");
  assert.ok(source.includes(from), from);
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, source.replace(from, to));
  return file;
}

// At the same time, because they mostly wait.
describe("the bench", { concurrency: 4 }, () => {
  test("every mode and the cold start are measured, for each handler and Worker", async () => {
    const json = join(folder, "figures.json");
    const relays = ["--relay", `relay=${path("build")}`, "--relay", `0.1.0=${path("tests/releases/0.1.0")}`];
    const { code, stdout, stderr } = await command(...FEW_OPTIONS, "--starts", "1", ...relays, "--json", json);
    assert.equal(code, 0, stderr);

    const names = ["recipe", "expert", "relay", "0.1.0"];
    const { modes, cold_start } = JSON.parse(readFileSync(json, "utf8"));
    assert.deepEqual(Object.keys(modes), ["mail", "forged", "ignored", "duplicate"]);
    for (const [mode, figures] of Object.entries(modes)) {
      assert.deepEqual(Object.keys(figures), names);
      for (const [name, { cpu_ms, cpu_ratio, p50_ms, p95_ms, nylas_requests }] of Object.entries(figures)) {
        assert.ok(cpu_ms > 0 && cpu_ratio.median > 0 && p50_ms > 0 && p95_ms >= p50_ms, `${mode}, ${name}`);
        assert.equal(nylas_requests, mode === "mail" ? 1 : 0, `${mode}, ${name}`);
        assert.ok(stdout.includes(`| ${name} |`), name);
      }
    }
    assert.deepEqual(Object.keys(cold_start), ["empty", ...names]);
  });

  test("a request's reads and writes are counted, and the waits by what waits for them", async () => {
    const { modes } = await bench({ ...FEW, modes: ["mail", "duplicate"] });
    const ofKv = ([name, value]) => (name.startsWith("kv_") ? [value] : []);
    const counts = (figures) => Object.entries(figures).flatMap(ofKv);
    // Reads, writes; waits before the send, before the answer, after the answer.
    assert.deepEqual(counts(modes.mail.recipe), [1, 1, 1, 1, 0]);
    assert.deepEqual(counts(modes.mail.expert), [1, 1, 1, 0, 1]);
    assert.deepEqual(counts(modes.duplicate.recipe), [1, 0, 1, 0, 0]);
  });

  test("KV reads that are made together, one by one or in bulk, are one wait", async () => {
    const [one, keys] = ["await env.LEDGER.get(id)", `[id, "a", "b"]`];
    const bulk = changed("bulk", one, `(await env.LEDGER.get(${keys})).get(id)`);
    const parallel = changed("parallel", one, `(await Promise.all(${keys}.map((key) => env.LEDGER.get(key))))[0]`);
    const handlers = Object.entries({ bulk, parallel }).map(([name, path]) => ({ name, path }));
    const { modes } = await bench({ ...FEW, modes: ["duplicate"], handlers });
    for (const name of ["bulk", "parallel"]) {
      const { kv_reads, kv_waits_before_send } = modes.duplicate[name];
      assert.deepEqual([kv_reads, kv_waits_before_send], [3, 1], name);
    }
  });

  test("the command ends with 1 and prints no figures when there are none", async () => {
    const faulty = changed("faulty", "subject: email.subject", `subject: "Hello"`);
    const options = ["--modes", "mail", "--starts", "0", "--handler", `faulty=${faulty}`];
    const { code, stdout, stderr } = await command(...FEW_OPTIONS, ...options);
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(stderr, /no figures: faulty, mail: a mail is not the one of its event/);
  });
});

const SENDS = "const sent = await send(env, id, event.data);";
const AGAIN = "await send(env, id, event.data);";
const FAULTS = [
  {
    what: "loses a mail and says it was sent",
    from: SENDS,
    to: `globalThis.mails ??= 0; if (++globalThis.mails % 3 === 0) return Response.json({ status: "sent" }); ${SENDS}`,
    said: /faulty, mail: 0 mails of one request, not 1/,
  },
  { what: "sends a mail twice", from: SENDS, to: AGAIN + SENDS, said: /faulty, mail: 2 mails of one request, not 1/ },
  {
    what: "sends without the id as its key",
    from: `"Idempotency-Key": id`,
    to: `"Idempotency-Key": crypto.randomUUID()`,
    said: /faulty, mail: a mail under the key "/,
  },
  {
    what: "sends another mail than the event's",
    from: "subject: email.subject",
    to: `subject: "Hello"`,
    said: /faulty, mail: a mail is not the one of its event/,
  },
  {
    what: "sends a duplicate again",
    from: `return Response.json({ status: "duplicate" });`,
    to: `{ ${AGAIN} return Response.json({ status: "duplicate" }); }`,
    said: /faulty, duplicate: 1 mails of one request, not 0/,
  },
  {
    what: "accepts a forged request",
    from: `version === "v1" &&`,
    to: `version === "v1" ||`,
    said: /faulty, forged: answered "200 sent", not "400 bad_signature"/,
  },
  {
    what: "fails on what it should ignore",
    from: `event.type !== "email.created"`,
    to: `event.type.fails.here`,
    said: /faulty, ignored: answered "500 .*", not "200 ignored"/,
  },
];

describe("no figures are given, and it is said why, when a handler", { concurrency: 4 }, () => {
  for (const { what, from, to, said } of FAULTS) {
    test(what, async () => {
      const [, mode] = said.source.match(/^faulty, (\w+):/);
      const handlers = [{ name: "faulty", path: changed(what.replaceAll(/\W/g, "-"), from, to) }];
      await assert.rejects(bench({ ...FEW, modes: [mode], handlers }), (error) => {
        assert.ok(error instanceof Refused, String(error));
        assert.match(error.message, said);
        return true;
      });
    });
  }
});
