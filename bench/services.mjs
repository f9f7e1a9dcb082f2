// The services that a handler talks to: Workers KV (in workerd, KV operations are HTTP requests), Nylas, and a queue
// that refuses everything. They run outside the handler's process, take as long as asked for, and record every
// operation.
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

export const API_KEY = "nyk_v0_key_of_the_bench";
export const GRANT = "11111111-0000-4000-8000-000000000001";
/** The sender. Its local part is that of the events, as in a good configuration. */
export const MAIL_FROM = "notifications@acme.example";

/** If no operation is under way for this long, a handler has also finished what it does after its answer. */
const QUIET_MS = 50;
const QUIET_WITHIN_MS = 30_000;

export class Services {
  /** How many milliseconds an operation takes. */
  latency = { kv: 0, nylas: 0 };
  #servers = [];
  #entries = new Map();
  #underWay = 0;
  #lastAt = 0;
  #operations = [];
  #mails = [];

  static async start() {
    const services = new Services();
    const listen = async (answer) => {
      const server = createServer((request, response) => services.#serve(request, response, answer));
      // Keeps a handler's connections open between its turns.
      server.keepAliveTimeout = 0;
      services.#servers.push(server.listen(0, "127.0.0.1"));
      await once(server, "listening");
      return `127.0.0.1:${server.address().port}`;
    };
    services.kvAddress = await listen((call) => services.#kv(call));
    services.nylasAddress = await listen((call) => services.#nylas(call));
    services.queueAddress = await listen(() => ({ kind: "queue", code: 500 }));
    return services;
  }

  stop() {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
  }

  /** Every operation since the last call: its kind, when it came and when it was answered. */
  takeOperations() {
    return this.#operations.splice(0);
  }

  /** Every mail since the last call: its `Idempotency-Key`, recipient and subject. */
  takeMails() {
    return this.#mails.splice(0);
  }

  async quiet() {
    const started = performance.now();
    while (this.#underWay > 0 || performance.now() - Math.max(started, this.#lastAt) < QUIET_MS) {
      if (performance.now() - started > QUIET_WITHIN_MS) throw new Error("a handler does not come to rest");
      await sleep(5);
    }
  }

  async #serve(request, response, answer) {
    const operation = { from: performance.now() };
    this.#underWay += 1;
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    const url = new URL(request.url, "http://service");
    const { kind, reads = 0, code = 200, headers = {}, text = "" } = answer({ ...slice(request), url, body });
    const wait = { read: this.latency.kv, write: this.latency.kv, nylas: this.latency.nylas }[kind] ?? 0;
    // A timer of 0 ms takes about 1 ms.
    if (wait > 0) await sleep(wait);
    response.writeHead(code, { ...headers, "Content-Length": Buffer.byteLength(text) }).end(text);
    this.#lastAt = performance.now();
    this.#underWay -= 1;
    this.#operations.push(Object.assign(operation, { kind, reads, to: this.#lastAt }));
  }

  #kv({ method, headers, url, body }) {
    const key = decodeURIComponent(url.pathname.slice(1));
    const json = (value) => ({ headers: { "Content-Type": "application/json" }, text: JSON.stringify(value) });
    if (method === "PUT") {
      this.#entries.set(key, { value: body, metadata: headers["cf-kv-metadata"] });
      return { kind: "write" };
    }
    if (method === "DELETE") {
      this.#entries.delete(key);
      return { kind: "write" };
    }
    if (method === "POST" && key === "bulk/get") {
      const { keys, type, withMetadata } = JSON.parse(body);
      const found = keys.map((key) => [key, this.#bulkEntry(key, type, withMetadata)]);
      return { kind: "read", reads: keys.length, ...json(Object.fromEntries(found)) };
    }
    if (key === "") {
      const prefix = url.searchParams.get("prefix") ?? "";
      const found = [...this.#entries].filter(([name]) => name.startsWith(prefix));
      const keys = found.map(([name, { metadata }]) => ({ name, metadata }));
      return { kind: "read", reads: 1, ...json({ keys, list_complete: true }) };
    }
    const entry = this.#entries.get(key);
    if (!entry) return { kind: "read", reads: 1, code: 404 };
    const metadata = entry.metadata === undefined ? {} : { "CF-KV-Metadata": entry.metadata };
    return { kind: "read", reads: 1, headers: metadata, text: entry.value };
  }

  #bulkEntry(key, type, withMetadata) {
    const entry = this.#entries.get(key);
    if (!entry) return null;
    const value = type === "json" ? JSON.parse(entry.value) : entry.value;
    return withMetadata ? { value, metadata: JSON.parse(entry.metadata ?? "null") } : value;
  }

  #nylas({ method, headers, url, body }) {
    const answer = (code, value) => ({
      kind: "nylas",
      code,
      headers: { "Content-Type": "application/json" },
      text: JSON.stringify({ request_id: "5fa64c92-e840-4357-86b9-2aa364d35b88", ...value }),
    });
    if (headers.authorization !== `Bearer ${API_KEY}`) return answer(401, { error: { type: "unauthorized" } });
    const [, grant, path = ""] = url.pathname.match(/^\/v3\/grants\/([^/]+)(\/.*)?$/) ?? [];
    if (grant !== GRANT) return answer(404, { error: { type: "grant.not_found" } });
    switch (`${method} ${path}`) {
      case "GET ":
        return answer(200, { data: { id: GRANT, email: MAIL_FROM, name: "Acme", grant_status: "valid" } });
      case "GET /messages":
        return answer(200, { data: [] });
      case "POST /messages/send": {
        const mail = JSON.parse(body);
        this.#mails.push({ key: headers["idempotency-key"], to: mail.to?.[0]?.email, subject: mail.subject });
        const id = `message-${this.#mails.length}`;
        const sent = { id, thread_id: `thread-${id}`, grant_id: GRANT, object: "message", snippet: "", ...mail };
        return answer(200, { data: sent });
      }
      default:
        return answer(404, { error: { type: "not_found" } });
    }
  }
}

const slice = ({ method, headers }) => ({ method, headers });
