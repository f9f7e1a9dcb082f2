// The command line of the bench. Started by scripts/bench (`make bench`).
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Refused, bench } from "./bench.mjs";
import { MODES } from "./modes.mjs";
import { report } from "./report.mjs";

const PRESENT = fileURLToPath(new URL("../build", import.meta.url));

const usage = `make bench, or scripts/bench [options]: the relay beside handlers in JavaScript
  --rounds N           turns of each handler in each mode (15)
  --requests N         requests in a turn (60); of those that are quick, four times as many
  --warm-up N          requests before, unmeasured (300)
  --starts N           cold starts of each handler (15; 0: none)
  --kv-ms N            what one KV operation takes (40)
  --nylas-ms N         what Nylas takes for a send (100)
  --modes LIST         of ${Object.keys(MODES)} (all)
  --relay NAME=FOLDER  a built Worker, several times for several (relay=build): --relay 0.1.0=tests/releases/0.1.0
  --handler NAME=FILE  one more handler in JavaScript
  --without-replies    the relay receives no replies: one KV read and one write fewer for a mail
  --json FILE          writes the figures there, too`;

function options() {
  const count = (fallback) => ({ type: "string", default: String(fallback) });
  const { values } = parseArgs({
    options: {
      rounds: count(15),
      requests: count(60),
      "warm-up": count(300),
      starts: count(15),
      "kv-ms": count(40),
      "nylas-ms": count(100),
      modes: { type: "string", default: Object.keys(MODES).join() },
      relay: { type: "string", multiple: true, default: [`relay=${PRESENT}`] },
      handler: { type: "string", multiple: true, default: [] },
      "without-replies": { type: "boolean", default: false },
      json: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  const number = (name, least, most) => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new Error(`--${name} takes a whole number from ${least} to ${most}`);
  };
  const modes = values.modes.split(",");
  const unknown = modes.find((mode) => !Object.hasOwn(MODES, mode));
  if (unknown !== undefined) throw new Error(`--modes: there is no "${unknown}"`);
  return {
    rounds: number("rounds", 1, 1000),
    // The requests of a turn are signed together, and a signature is valid for five minutes.
    requests: number("requests", 1, 2000),
    warmUp: number("warm-up", 0, 2000),
    starts: number("starts", 0, 1000),
    latency: { kv: number("kv-ms", 0, 1000), nylas: number("nylas-ms", 0, 1000) },
    modes,
    relays: values.relay.map((named) => pair(named, "relay")),
    handlers: values.handler.map((named) => pair(named, "handler")),
    receivesReplies: !values["without-replies"],
    json: values.json,
  };
}

function pair(text, option) {
  const [, name, path] = text.match(/^([\w.-]+)=(.+)$/) ?? [];
  if (!name) throw new Error(`--${option} takes NAME=PATH, not "${text}"`);
  return { name, path: resolve(path) };
}

// So that the `exit` handlers run and end what was started.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));

try {
  const settings = options();
  if (settings) {
    // On standard error, apart from the figures.
    const say = (what) => process.stderr.write(`bench: ${what}\n`);
    const { figures, tables } = report(await bench(settings, say), settings);
    if (settings.json) writeFileSync(settings.json, `${JSON.stringify(figures, null, 2)}\n`);
    console.log(tables);
  } else {
    console.log(usage);
  }
} catch (error) {
  console.error(`bench: ${error instanceof Refused ? "no figures: " : ""}${error.message}`);
  process.exitCode = 1;
}
