// What `make bench` measures: the built Worker beside handlers in JavaScript. Each runs in a workerd of its own, and
// they take turns at the same kinds of signed requests. docs/performance.md says what the figures mean.
import { build } from "esbuild";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unstable_readConfig as readConfig } from "wrangler";
import { MODES, SIGNING_SECRET, requests } from "./modes.mjs";
import { median, spread, summary } from "./report.mjs";
import { API_KEY, GRANT, MAIL_FROM, Services } from "./services.mjs";
import { Workerd } from "./workerd.mjs";

const inRoot = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** There are no figures, because a handler did its work wrong. */
export class Refused extends Error {}

// ---- The handlers ----

/**
 * The handlers: their files, and the bindings of `wrangler.toml`. The others are compared with the first.
 */
async function handlers({ relays, handlers, receivesReplies }, folder) {
  const config = readConfig({ config: inRoot("wrangler.toml") });
  const compatibility = { date: config.compatibility_date, flags: config.compatibility_flags };
  const names = (bindings) => bindings.map(({ binding }) => binding);
  const shared = { compatibility, kv: names(config.kv_namespaces), queues: names(config.queues.producers) };
  const built = relays.map(({ name, path }) => {
    const files = ["index.js", "index_bg.wasm"].map((file) => join(path, file));
    const missing = files.find((file) => !existsSync(file));
    if (missing) throw new Error(`${missing} is not there: \`make build\` makes it`);
    const secret = receivesReplies ? { NYLAS_WEBHOOK_SECRET: "webhook-secret-of-the-bench" } : {};
    const texts = { ...config.vars, ...secret };
    return { name, files, texts, ...shared };
  });
  const scripts = [
    { name: "recipe", path: inRoot("bench/handlers/recipe.mjs") },
    { name: "expert", path: inRoot("bench/handlers/expert.mjs") },
    ...handlers,
  ];
  const bundled = scripts.map(async ({ name, path }) => {
    const outfile = join(folder, `${name}-bundle`, "index.js");
    // wrangler bundles with these, too.
    const conditions = ["workerd", "worker", "browser"];
    await build({ entryPoints: [path], bundle: true, format: "esm", target: "es2024", conditions, outfile });
    return { name, files: [outfile], texts: { MAIL_FROM }, ...shared };
  });
  const all = [...(await Promise.all(bundled)), ...built];
  const taken = new Set(["empty", ...all.map(({ name }) => name)]);
  if (taken.size <= all.length) throw new Error(`two handlers have the same name, or one is called "empty"`);
  return all;
}

/** A handler, the services it talks to, and its folder. */
class Contestant {
  constructor(handler, services, folder) {
    this.name = handler.name;
    this.services = services;
    this.folder = join(folder, handler.name);
    const texts = {
      ...handler.texts,
      CLERK_WEBHOOK_SIGNING_SECRET: SIGNING_SECRET,
      NYLAS_API_BASE: `http://${services.nylasAddress}`,
      NYLAS_API_KEY: API_KEY,
      NYLAS_GRANT_ID: GRANT,
    };
    this.settings = { ...handler, texts, services };
  }

  async startProcess() {
    this.workerd = await Workerd.start(this.folder, this.settings);
  }

  /** Throws `Refused`, with what the handler printed last. */
  refuse(mode, what) {
    const printed = this.workerd?.lastLines().trim();
    throw new Refused(`${this.name}, ${mode}: ${what}${printed ? `\nIt printed:\n${printed}` : ""}`);
  }

  /** One turn: posts the requests, waits for everything that follows from them, and checks the result. */
  async turn(mode, count, { latency, inFlight = MODES[mode].inFlight }) {
    const { services, workerd } = this;
    const batch = requests(MODES[mode], count);
    if (MODES[mode].sentBefore) {
      services.latency = { kv: 0, nylas: 0 };
      await this.#post(batch, 8);
      this.check("mail", batch);
    }
    services.latency = latency;
    services.takeOperations();
    const before = workerd.cpuMs();
    const answers = await this.#post(batch, inFlight);
    const cpuMs = workerd.cpuMs() - before;
    this.check(mode, batch, answers);
    return { cpuMs: cpuMs / count, answers, operations: services.takeOperations() };
  }

  /** Posts the requests, `inFlight` at once, and waits until nothing more happens. */
  async #post(batch, inFlight) {
    const answers = [];
    const left = batch.values();
    const work = async () => {
      for (const request of left) answers.push(await post(this.workerd.url, request));
    };
    await Promise.all(Array.from({ length: inFlight }, work));
    await this.services.quiet();
    return answers;
  }

  check(mode, batch, answers = []) {
    const wrong = answers.find(({ text }) => text !== MODES[mode].answer);
    if (wrong) this.refuse(mode, `answered "${wrong.text}", not "${MODES[mode].answer}"`);
    const expected = new Map(batch.map((request) => [request.id, request]));
    const seen = new Map();
    for (const { key, to, subject } of this.services.takeMails()) {
      const request = expected.get(key);
      if (!request) this.refuse(mode, `a mail under the key "${key}", which is none of the requests' ids`);
      if (request.to !== to || request.subject !== subject) this.refuse(mode, "a mail is not the one of its event");
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    for (const { id } of batch) {
      const mails = seen.get(id) ?? 0;
      if (mails !== MODES[mode].mails) this.refuse(mode, `${mails} mails of one request, not ${MODES[mode].mails}`);
    }
  }
}

/** Posts one request. Returns its answer as "code status", and how long it took. */
async function post(url, { headers, body }) {
  const startedAt = performance.now();
  let text;
  try {
    const response = await fetch(url, { method: "POST", headers, body });
    const answer = await response.text();
    text = `${response.status} ${statusOf(answer)}`;
  } catch (error) {
    text = `nothing: ${error.cause?.message ?? error.message}`;
  }
  const answeredAt = performance.now();
  return { text, startedAt, answeredAt, ms: answeredAt - startedAt };
}

function statusOf(answer) {
  try {
    return JSON.parse(answer).status;
  } catch {
    return answer.slice(0, 80);
  }
}

// ---- What is measured ----

/** The time from a new process to its first answer, without latency. `bare` is a Worker that does nothing. */
async function coldStarts(contestants, bare, count) {
  const at = new Map([bare, ...contestants].map(({ name }) => [name, { ms: [], cpuMs: [] }]));
  // One more than asked for, because the first reads the program from the disk and does not count.
  for (let start = 0; start <= count; start += 1) {
    for (const contestant of turned([bare, ...contestants], start)) {
      contestant.services.latency = { kv: 0, nylas: 0 };
      await contestant.startProcess();
      const { workerd } = contestant;
      const batch = requests(MODES.mail, 1);
      const answer = await post(workerd.url, batch[0]);
      const cpuMs = workerd.cpuMs();
      await contestant.services.quiet();
      if (contestant !== bare) contestant.check("mail", batch, [answer]);
      await workerd.stop();
      if (start === 0) continue;
      at.get(contestant.name).ms.push(answer.answeredAt - workerd.startedAt);
      at.get(contestant.name).cpuMs.push(cpuMs);
    }
  }
  return at;
}

async function measureStarts(contestants, bare, settings, say) {
  say(`${settings.starts} cold starts of each`);
  const starts = await coldStarts(contestants, bare, settings.starts);
  const [first, nothing] = [contestants[0], bare].map(({ name }) => starts.get(name));
  const figures = ([name, { ms, cpuMs }]) => {
    const ratios = (values, firsts) => spread(values.map((value, start) => value / firsts[start]));
    const cpu = { cpu_ms: median(cpuMs), cpu_ratio: ratios(cpuMs, first.cpuMs) };
    const own = median(cpuMs.map((value, start) => value - nothing.cpuMs[start]));
    return [name, { ms: median(ms), ratio: ratios(ms, first.ms), ...cpu, cpu_above_empty_ms: own }];
  };
  return Object.fromEntries([...starts].map(figures));
}

/** The operations of one request, counted while no other request is in flight. */
async function count(contestant, mode, { latency }) {
  // Slow operations show clearly what overlaps and what comes first, even on a busy machine.
  const slow = { kv: Math.max(50, latency.kv), nylas: Math.max(50, latency.nylas) };
  const costs = [];
  for (let request = 0; request < 3; request += 1) {
    const { answers, operations } = await contestant.turn(mode, 1, { latency: slow, inFlight: 1 });
    costs.push(cost(operations, answers[0].answeredAt));
  }
  return Object.fromEntries(Object.keys(costs[0]).map((name) => [name, median(costs.map((cost) => cost[name]))]));
}

/**
 * Counts the operations of one request. KV operations that overlap are one wait. A wait counts where it ends: before
 * the send, before the answer, or after it.
 */
function cost(operations, answeredAt) {
  const kv = operations.filter(({ kind }) => kind === "read" || kind === "write").sort((a, b) => a.from - b.from);
  const waits = [];
  for (const { from, to } of kv) {
    const last = waits.at(-1);
    if (last && from < last.to) last.to = Math.max(last.to, to);
    else waits.push({ to });
  }
  const sentAt = operations.find(({ kind }) => kind === "nylas")?.from ?? Infinity;
  const before = waits.filter(({ to }) => to <= Math.min(sentAt, answeredAt)).length;
  const after = waits.filter(({ to }) => to > answeredAt).length;
  return {
    kv_reads: kv.reduce((sum, { reads }) => sum + reads, 0),
    kv_writes: kv.filter(({ kind }) => kind === "write").length,
    kv_waits_before_send: before,
    kv_waits_before_answer: waits.length - before - after,
    kv_waits_after_answer: after,
    nylas_requests: operations.filter(({ kind }) => kind === "nylas").length,
  };
}

/** The list, rotated, so that no handler is always the first. */
const turned = (list, by) => list.map((_, index) => list[(index + by) % list.length]);

async function measureMode(contestants, mode, settings, say) {
  say(`${mode}: warming up`);
  const counts = new Map();
  for (const contestant of contestants) {
    const latency = { kv: 0, nylas: 0 };
    if (settings.warmUp > 0) await contestant.turn(mode, settings.warmUp, { latency });
    counts.set(contestant, await count(contestant, mode, settings));
  }
  const many = settings.requests * MODES[mode].times;
  say(`${mode}: ${settings.rounds} rounds of ${many} requests to each of ${contestants.length} handlers`);
  const turns = new Map(contestants.map((contestant) => [contestant, []]));
  for (let round = 0; round < settings.rounds; round += 1) {
    for (const contestant of turned(contestants, round)) {
      turns.get(contestant).push(await contestant.turn(mode, many, settings));
    }
  }
  const first = turns.get(contestants[0]);
  const figures = (contestant) => {
    const own = turns.get(contestant);
    const ratios = own.map(({ cpuMs }, round) => cpuMs / first[round].cpuMs);
    const waited = own.flatMap(({ answers }) => answers.map(({ ms }) => ms));
    const cpu = { cpu_ms: median(own.map(({ cpuMs }) => cpuMs)), cpu_ratio: spread(ratios) };
    return [contestant.name, { ...cpu, ...summary(waited), ...counts.get(contestant) }];
  };
  return Object.fromEntries(contestants.map(figures));
}

/** Measures everything, or throws `Refused`. `say` gets the progress. */
export async function bench(settings, say = () => {}) {
  const folder = mkdtempSync(join(tmpdir(), "relay-bench-"));
  const contestants = [];
  const end = () => {
    for (const { workerd } of contestants) workerd?.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  // In case the process has to end meanwhile.
  process.once("exit", end);
  try {
    const add = async (handler) => contestants.push(new Contestant(handler, await Services.start(), folder));
    for (const handler of await handlers(settings, folder)) await add(handler);
    const measured = [...contestants];
    const empty = join(folder, "empty.js");
    writeFileSync(empty, `export default { fetch: () => Response.json({ status: "sent" }) };`);
    await add({ ...measured[0].settings, name: "empty", files: [empty] });

    const cold_start = settings.starts > 0 ? await measureStarts(measured, contestants.at(-1), settings, say) : {};
    const modes = {};
    for (const contestant of measured) await contestant.startProcess();
    for (const mode of settings.modes) modes[mode] = await measureMode(measured, mode, settings, say);
    return { modes, cold_start };
  } finally {
    for (const { workerd, services } of contestants) {
      await workerd?.stop();
      services.stop();
    }
    end();
    process.off("exit", end);
  }
}
