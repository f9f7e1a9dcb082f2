// `make dev`, as a newcomer runs it: everything starts, the tour comes to its end, and the relay warns of nothing.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Ports that nobody listens on. */
async function ports(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => new Promise((ready) => server.once("listening", ready))));
  const found = servers.map((server) => String(server.address().port));
  for (const server of servers) server.close();
  return found;
}

test("a sample arrives, its user's reply reaches a person and the agent, and the agent's answer comes back", async () => {
  const [PORT, STAND_IN_PORT, AGENT_PORT] = await ports(3);
  const env = { ...process.env, PORT, STAND_IN_PORT, AGENT_PORT };
  const ran = spawnSync("scripts/dev", ["--once"], { cwd: root, env, encoding: "utf8" });
  assert.equal(ran.status, 0, `${ran.stdout}${ran.stderr}`);
  const steps = [
    /^ok {3}msg_sample_\w{20} 200 sent accepted_by_nylas \(\d+ ms\)$/m,
    /^== The mail, as it arrived\n {2}From: {5}Acme <notifications@acme.example>\n {2}To: {7}ada@example.com$/m,
    /^== ada@example.com answers it$/m,
    /^== The person in charge gets it, without the code\n.*\n {2}To: {7}support@acme.example$/m,
    /^== The example agent answered [\d.]+ s later, in the same thread\n.*\n {2}To: {7}ada@example.com$/m,
    /^dev: done$/m,
  ];
  let from = 0;
  for (const step of steps) {
    const at = ran.stdout.slice(from).search(step);
    assert.ok(at >= 0, `${step} is not in:\n${ran.stdout}`);
    from += at;
  }
  assert.equal(existsSync(new URL("../../.wrangler/relay-local.env", import.meta.url)), false);
});

test("a port that is in use is said before anything is built", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((ready) => server.once("listening", ready));
  const { port } = server.address();
  const env = { ...process.env, AGENT_PORT: String(port) };
  const [PORT, STAND_IN_PORT] = await ports(2);
  const ran = spawnSync("scripts/dev", ["--once"], { cwd: root, env: { ...env, PORT, STAND_IN_PORT }, encoding: "utf8" });
  server.close();
  assert.equal(ran.status, 1);
  assert.match(ran.stderr, new RegExp(`port ${port} is in use; choose another: make dev AGENT_PORT=`));
});
