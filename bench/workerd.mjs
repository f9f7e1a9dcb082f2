// Runs a handler in a workerd of its own, so that the CPU time of the process is the handler's alone.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import workerd from "workerd";

const START_WITHIN_MS = 30_000;
/** It holds the Worker. */
const CONFIGURATION_BYTES_MAX = 100 * 1024 * 1024;

/** workerd's configuration. A text in Cap'n Proto is written as in JSON, as long as it is ASCII. */
function configuration({ files, compatibility, texts, kv, queues, services }) {
  const modules = files.map((file) => {
    const name = basename(file);
    return `(name = ${text(name)}, ${name.endsWith(".wasm") ? "wasm" : "esModule"} = embed ${text(name)})`;
  });
  const bindings = [
    ...Object.entries(texts).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`),
    ...kv.map((name) => `(name = ${text(name)}, kvNamespace = "kv")`),
    ...queues.map((name) => `(name = ${text(name)}, queue = "queue")`),
  ];
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [${modules.join(", ")}],
      compatibilityDate = ${text(compatibility.date)},
      compatibilityFlags = [${compatibility.flags.map(text).join(", ")}],
      bindings = [${bindings.join(", ")}],
    )),
    (name = "internet", network = (allow = ["local"])),
    (name = "kv", external = (address = ${text(services.kvAddress)}, http = ())),
    (name = "queue", external = (address = ${text(services.queueAddress)}, http = ())),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`;
}

const text = (value) => JSON.stringify(value);

export class Workerd {
  #child;
  #log;
  #seen = new Map();

  /**
   * Starts workerd in the handler's folder and waits until it listens. The first of the files is the main module.
   */
  static async start(folder, settings) {
    mkdirSync(folder, { recursive: true });
    for (const file of settings.files) copyFileSync(file, join(folder, basename(file)));
    const file = join(folder, "workerd.capnp");
    writeFileSync(file, configuration(settings));
    // Beforehand, because Cloudflare parses no configuration either when it starts a Worker.
    const compiled = join(folder, "workerd.bin");
    const { status, stdout, stderr } = spawnSync(workerd.default, ["compile", "--config-only", file], {
      maxBuffer: CONFIGURATION_BYTES_MAX,
    });
    if (status !== 0) throw new Error(`workerd does not compile its configuration:\n${stderr}`);
    writeFileSync(compiled, stdout);
    const started = new Workerd();
    started.#log = join(folder, "log");
    const log = openSync(started.#log, "a");
    started.startedAt = performance.now();
    const child = spawn(workerd.default, ["serve", "--binary", compiled, "--control-fd=3"], {
      stdio: ["ignore", log, log, "pipe"],
    });
    started.#child = child;
    closeSync(log);
    const port = await started.#listens(child).catch(async (error) => {
      await started.stop();
      throw new Error(`workerd ${error.message}:\n${started.lastLines()}`);
    });
    started.url = `http://127.0.0.1:${port}/api/webhooks/clerk`;
    return started;
  }

  #listens(child) {
    let timer;
    return new Promise((done, fail) => {
      timer = setTimeout(() => fail(new Error("does not listen")), START_WITHIN_MS);
      child.once("error", fail);
      child.once("exit", (code) => fail(new Error(`ended with ${code}`)));
      createInterface({ input: child.stdio[3] }).on("line", (line) => {
        const message = JSON.parse(line);
        if (message.event === "listen") done(message.port);
      });
    }).finally(() => clearTimeout(timer));
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.kill();
    await ended;
  }

  kill() {
    this.#child.kill("SIGKILL");
  }

  lastLines() {
    return readFileSync(this.#log, "utf8").split("\n").slice(-12).join("\n");
  }

  /** The CPU time of the process and all of its threads, in milliseconds since its start. */
  cpuMs() {
    const { pid } = this.#child;
    if (process.platform !== "linux") return psMs(pid);
    const threads = `/proc/${pid}/task`;
    for (const thread of readdirSync(threads)) {
      // In nanoseconds. utime and stime in /proc/PID/stat have only hundredths of a second.
      const ran = readUnlessGone(`${threads}/${thread}/schedstat`);
      if (ran) this.#seen.set(thread, Number(ran.split(" ")[0]) / 1e6);
    }
    if (this.#seen.size === 0) return ticksMs(pid);
    // The map still has the threads that have ended.
    return [...this.#seen.values()].reduce((sum, ms) => sum + ms, 0);
  }
}

function readUnlessGone(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // ESRCH: the thread ended after the file was opened.
    if (["ENOENT", "ESRCH"].includes(error.code)) return undefined;
    throw error;
  }
}

/** For a kernel without such statistics: utime and stime, in hundredths of a second. */
function ticksMs(pid) {
  // The second field is the program's name in brackets, which may contain spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** For other systems than Linux: the time from `ps`, [[days-]hours:]minutes:seconds with hundredths. */
function psMs(pid) {
  const { stdout = "" } = spawnSync("ps", ["-o", "time=", "-p", String(pid)], { encoding: "utf8" });
  const parts = stdout.trim().split(/[-:]/).map(Number);
  if (stdout.trim() === "" || parts.some(Number.isNaN)) throw new Error("ps does not show the CPU time here");
  const [seconds, minutes = 0, hours = 0, days = 0] = parts.reverse();
  return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000;
}
