// `make dev`, as a newcomer runs it: everything starts, the tour comes to its end, the relay warns of nothing, and
// `relayctl --local` is for it.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { sign } from "../../scripts/sample.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const profile = join(root, ".wrangler/relay-local.env");

/** Ports that nobody listens on. */
async function ports(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => new Promise((ready) => server.once("listening", ready))));
  const found = servers.map((server) => String(server.address().port));
  for (const server of servers) server.close();
  return found;
}

test("a sample arrives, its user's reply reaches a person and the agent, and the agent's answer returns", async () => {
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
    new RegExp(`^  inbox page {6}http://127.0.0.1:${STAND_IN_PORT}/`, "m"),
    new RegExp(`^  operator's page http://127.0.0.1:${PORT}/admin {3}\\(any name, password: [0-9a-f]{24}\\)$`, "m"),
    /^dev: done$/m,
  ];
  let from = 0;
  for (const step of steps) {
    const at = ran.stdout.slice(from).search(step);
    assert.ok(at >= 0, `${step} is not in:\n${ran.stdout}`);
    from += at;
  }
  assert.equal(existsSync(profile), false);
  // What the README shows of it is what comes, in that order, whatever the numbers are.
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const shape = (line) => line.replace(/msg_sample_\w+/, "msg_sample").replace(/\d+/g, "0").trimEnd();
  const printed = ran.stdout.split("\n").map(shape);
  const [, shown] = readme.match(/You then see:\n\n```\n([^]*?)\n```/);
  const lines = shown.split("\n").filter((line) => line.trim() && !line.endsWith("..."));
  assert.ok(lines.length >= 6, shown);
  for (const line of lines) {
    const at = printed.indexOf(shape(line));
    assert.ok(at >= 0, `"${line}" is in README.md, and not, or not there, in:\n${ran.stdout}`);
    printed.splice(0, at + 1);
  }
});

test("while it runs, relayctl --local is for it; only what needs Clerk or Cloudflare does not work", async () => {
  const [PORT, STAND_IN_PORT, AGENT_PORT] = await ports(3);
  const env = { ...process.env, PORT, STAND_IN_PORT, AGENT_PORT };
  const dev = spawn("scripts/dev", [], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  const folder = mkdtempSync(join(tmpdir(), "dev-test-"));
  const ended = new Promise((resolve) => dev.once("exit", resolve));
  try {
    let output = "";
    dev.stderr.on("data", (data) => (output += data));
    await new Promise((running, failed) => {
      dev.stdout.on("data", (data) => (output += data).includes("is all well?") && running());
      ended.then(() => failed(new Error(output)));
    });
    const [, program] = output.match(/alias relayctl=(\S+)\)/);
    const relayctl = (...args) =>
      spawnSync(program, ["--local", ...args], { cwd: root, env, encoding: "utf8", timeout: 120_000 });
    const [id, at, body] = ["msg_captured", Math.floor(Date.now() / 1000), "{}"];
    const signature = sign(readFileSync(join(root, "scripts/dev-secret"), "utf8").trim(), id, at, body);
    const headers = `svix-id: ${id}\nsvix-timestamp: ${at}\nsvix-signature: ${signature}\n`;
    writeFileSync(join(folder, "headers"), headers);
    writeFileSync(join(folder, "body"), body);
    const calls = {
      setup: 2, // It makes a relay at Cloudflare.
      templates: 2, // It needs Clerk's key.
      trigger: ["--id", "msg_of_the_test"],
      verify: ["--headers", join(folder, "headers"), "--body", join(folder, "body")],
      doctor: [],
      roundtrip: [],
      prove: ["--yes", "--json", "--second-ms", "100"],
      status: ["msg_of_the_test"],
      list: [],
      tail: ["--looks", "1"],
      redrive: ["--dead"],
      suppression: ["list"],
      guard: ["list"],
      inspect: [],
      completions: ["bash"],
      man: [],
    };
    const [, commands] = relayctl("--help").stdout.match(/\nCommands:\n([^]*?)\n\n/);
    const names = [...commands.matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name).filter((name) => name !== "help");
    assert.deepEqual(names.toSorted(), Object.keys(calls).toSorted());
    for (const [name, args] of Object.entries(calls)) {
      const ran = relayctl(name, ...(Array.isArray(args) ? args : []));
      assert.equal(ran.status, Array.isArray(args) ? 0 : args, `${name}: ${ran.stdout}${ran.stderr}`);
    }
    assert.match(relayctl("status", "msg_of_the_test").stdout, /^ {2}account {12}notifications@acme\.example$/m);
    // relayctl's docs name those that do not.
    const docs = readFileSync(join(root, "docs/relayctl.md"), "utf8");
    assert.match(docs.replace(/\s+/g, " "), /Every command works with it but `setup`, [^.]* and `templates`/);
  } finally {
    dev.kill("SIGINT");
    rmSync(folder, { recursive: true });
  }
  assert.equal(await ended, 0);
  assert.equal(existsSync(profile), false);
});

test("a port that is in use is said before anything is built", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((ready) => server.once("listening", ready));
  const { port } = server.address();
  const [PORT, STAND_IN_PORT] = await ports(2);
  const env = { ...process.env, PORT, STAND_IN_PORT, AGENT_PORT: String(port) };
  const ran = spawnSync("scripts/dev", ["--once"], { cwd: root, env, encoding: "utf8" });
  server.close();
  assert.equal(ran.status, 1);
  assert.match(ran.stderr, new RegExp(`port ${port} is in use; choose another: make dev AGENT_PORT=`));
});
