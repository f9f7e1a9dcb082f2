// After a panic the next request finds a new instance of the WebAssembly. Nothing can make the Worker panic, so here an
// error is thrown through it from the outside, at the same places as a panic's trap would leave it.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Workerd } from "../../bench/workerd.mjs";

const built = (name) => fileURLToPath(new URL(`../../build/${name}`, import.meta.url));

/** The Worker, behind a module that hands it requests which throw when they are read. */
const AROUND = `import relay from "./index.js";
const trap = () => { throw new WebAssembly.RuntimeError("unreachable"); };
const requests = {
  "/trap/at-once": { get url() { return trap(); } },
  "/trap/in-the-body": {
    url: "http://relay/api/webhooks/nylas",
    method: "POST",
    headers: new Headers({ "content-length": "1", "x-nylas-signature": "0".repeat(64) }),
    arrayBuffer: async () => ({ get length() { return trap(); } }),
  },
};
export default {
  fetch(request, env, ctx) {
    return relay.fetch(requests[new URL(request.url).pathname] ?? request, env, ctx);
  },
};
`;

describe("after a panic", () => {
  let folder;
  let workerd;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "restart-test-"));
    const around = join(folder, "around.js");
    writeFileSync(around, AROUND);
    workerd = await Workerd.start(join(folder, "workerd"), {
      files: [around, built("index.js"), built("index_bg.wasm")],
      compatibility: { date: "2026-11-01", flags: [] },
      texts: {
        CLERK_WEBHOOK_SIGNING_SECRET: "whsec_cmVzdGFydC10ZXN0LW9mLTI0LWI=",
        NYLAS_API_BASE: "http://127.0.0.1:1",
        NYLAS_API_KEY: "key",
        NYLAS_GRANT_ID: "11111111-0000-4000-8000-000000000001",
        NYLAS_WEBHOOK_SECRET: "secret-of-the-restart-test",
      },
      kv: ["LEDGER"],
      queues: ["OUTBOX"],
      services: { kvAddress: "127.0.0.1:1", queueAddress: "127.0.0.1:1" },
    });
  });
  after(async () => {
    await workerd?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const code = async (path) => (await fetch(new URL(path, workerd.url))).status;

  for (const path of ["/trap/at-once", "/trap/in-the-body"]) {
    test(`the next request is answered: ${path}`, async () => {
      assert.equal(await code("/health"), 200);
      assert.equal(await code(path), 500);
      assert.equal(await code("/health"), 200);
      assert.match(workerd.lastLines(), /unreachable|hung/);
    });
  }
});
