// Plays the part of Cloudflare's API that wrangler uses for this project, so that the real wrangler can deploy it here.
//
// It has one account with nothing in it, in memory. A Worker that is uploaded runs in workerd, with the bindings,
// consumers, schedules and secrets it was given. Whatever a request names must exist, and every other request is
// refused.
//
// FOLDER is where it runs. It prints the address of the API on the first line and that of the Worker on the second. GET
// /state has everything there is. POST /refuse makes the next request fail whose path ends with the body; the body "no
// workers.dev" plays an account that has no address yet. It ends when its standard input ends.
import { spawn } from "node:child_process";
import { mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request as ask } from "node:http";
import { join } from "node:path";

const { FOLDER } = process.env;
const WORKER = "clerk-nylas-relay";
const namespaces = [];
const queues = [];
/** The Worker, or null. It may be a draft that only holds secrets. */
let worker = null;
const no_code = () => ({ secrets: {}, versions: [], deployments: [], schedules: [] });
/** The running Worker (a promise of its port), or null if something has changed since it was started. */
let running = null;
let process_group = 0;
/** How often a Worker was started. */
let starts = 0;
let refused = null;

class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}
const refuse = (status, code, message) => {
  throw new Refused(status, code, message);
};
const existing = () => worker ?? refuse(404, 10007, "This Worker does not exist on your account.");
const queue_named = (name) =>
  queues.find((queue) => queue.queue_name === name) ?? refuse(404, 11000, `Queue ${name} does not exist.`);
const fresh = (number) => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

function add_version(annotations) {
  const created_on = new Date(1_700_000_000_000 + worker.versions.length * 1000).toISOString();
  const version = {
    id: fresh(worker.versions.length + 1),
    number: worker.versions.length + 1,
    annotations,
    metadata: { created_on },
  };
  worker.versions.push(version);
  return version;
}

function deploy(versions) {
  const deployment = {
    id: fresh(0),
    versions,
    source: "api",
    annotations: {},
    created_on: versions.map(
      ({ version_id }) => worker.versions.find(({ id }) => id === version_id).metadata.created_on,
    )[0],
  };
  worker.deployments.push(deployment);
  running = null;
  return deployment;
}

/** Changes secrets, which makes a version and deploys it. */
function change_secrets(secrets) {
  Object.assign(existing().secrets, Object.fromEntries(secrets));
  deploy([{ version_id: add_version({ "workers/triggered_by": "secret" }).id, percentage: 100 }]);
}

async function upload(request, is_version) {
  const form = await new Response(request.body, { headers: { "content-type": request.type } }).formData();
  const metadata = JSON.parse(await form.get("metadata"));
  if (refused === "no workers.dev" && !worker)
    refuse(400, 10063, "You need a workers.dev subdomain in order to proceed.");
  if (!is_version && metadata.main_module !== "index.js") {
    // `secret bulk` before the first deployment makes a Worker that does nothing.
    worker = no_code();
    deploy([{ version_id: add_version({}).id, percentage: 100 }]);
    return { id: WORKER };
  }
  if (!is_version) worker ??= no_code();
  const { secrets } = existing();
  const vars = {};
  const config = { vars, kv_namespaces: [], queues: { producers: [] } };
  const kept = worker.bindings ?? [];
  // An inherited binding is as it was before, or a secret.
  const bindings = metadata.bindings.map(
    (binding) => (binding.type === "inherit" && kept.find(({ name }) => name === binding.name)) || binding,
  );
  for (const binding of bindings) {
    if (binding.type === "plain_text") vars[binding.name] = binding.text;
    else if (binding.type === "secret_text") secrets[binding.name] = binding.text;
    else if (binding.type === "inherit")
      secrets[binding.name] ?? refuse(400, 10057, `nothing to inherit for ${binding.name}`);
    else if (binding.type === "kv_namespace") {
      namespaces.some(({ id }) => id === binding.namespace_id) ||
        refuse(400, 10041, `KV namespace ${binding.namespace_id} not found.`);
      config.kv_namespaces.push({ binding: binding.name, id: binding.namespace_id });
    } else if (binding.type === "queue") {
      config.queues.producers.push({ binding: binding.name, queue: queue_named(binding.queue_name).queue_name });
    } else refuse(400, 10021, `binding of type ${binding.type}`);
  }
  const modules = new Map();
  for (const [name, part] of form) if (name !== "metadata") modules.set(name, Buffer.from(await part.arrayBuffer()));
  modules.has(metadata.main_module) || refuse(400, 10021, "no main module");
  const { main_module: main, compatibility_date } = metadata;
  Object.assign(worker, {
    modules,
    bindings: bindings.filter(({ type }) => type !== "inherit"),
    config: { ...config, name: WORKER, main, compatibility_date },
  });
  return {
    ...add_version(metadata.annotations),
    startup_time_ms: 1,
    resources: { script: { etag: "e", handlers: [] }, script_runtime: {}, bindings: {} },
  };
}

/** Starts what is deployed. Returns its port. */
async function run() {
  stop();
  existing().modules ?? refuse(404, 10007, "nothing is deployed");
  const folder = join(FOLDER, "deployed");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of worker.modules) writeFileSync(join(folder, name), bytes);
  const consumers = queues.flatMap(({ queue_name, consumers }) =>
    consumers.map(({ consumer_id, type, script, ...settings }) => ({ queue: queue_name, ...settings })),
  );
  const config = {
    ...worker.config,
    no_bundle: true,
    rules: [{ type: "CompiledWasm", globs: ["**/*.wasm"] }],
    // For the code, secrets are variables.
    vars: { ...worker.config.vars, ...worker.secrets },
    queues: { ...worker.config.queues, consumers },
    triggers: { crons: worker.schedules },
  };
  writeFileSync(join(folder, "wrangler.json"), JSON.stringify(config));
  const port = await listen(createServer(), true);
  const log = openSync(join(FOLDER, "worker.log"), "a");
  const args = [
    "dev",
    "--ip",
    "127.0.0.1",
    "--port",
    port,
    "--inspector-port",
    "0",
    "--show-interactive-dev-session=false",
  ];
  const child = spawn("wrangler", [...args, "--persist-to", join(FOLDER, "state")], {
    cwd: folder,
    detached: true,
    stdio: ["ignore", log, log],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      NO_COLOR: "1",
      WRANGLER_REGISTRY_PATH: join(FOLDER, "registry"),
      WRANGLER_LOG_PATH: join(FOLDER, "logs"),
    },
  });
  process_group = child.pid;
  starts += 1;
  for (let tries = 0; tries < 450; tries += 1) {
    if (
      await fetch(`http://127.0.0.1:${port}/health`).then(
        (answer) => answer.ok,
        () => false,
      )
    )
      return port;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error("the Worker did not start");
}

function stop() {
  try {
    if (process_group) process.kill(-process_group, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
  process_group = 0;
}

function set_consumer({ json, names: [id] }) {
  const { batch_size, max_retries, max_wait_time_ms, retry_delay } = json.settings;
  if (json.dead_letter_queue) queue_named(json.dead_letter_queue);
  const queue = queues.find(({ queue_id }) => queue_id === id) ?? refuse(404, 11000, "no such queue");
  const { script_name: script, dead_letter_queue } = json;
  queue.consumers = [
    {
      consumer_id: `c${id}`,
      type: "worker",
      script,
      dead_letter_queue,
      max_batch_size: batch_size,
      max_batch_timeout: max_wait_time_ms / 1000,
      max_retries,
      retry_delay,
    },
  ];
  running = null;
  return queue.consumers[0];
}

/** The method and the path below the account, with `:x` for any name, and what the request does. */
const ROUTES = [
  ["GET /storage/kv/namespaces", ({ query }) => (Number(query.get("page") ?? 1) > 1 ? [] : namespaces)],
  [
    "POST /storage/kv/namespaces",
    ({ json }) => {
      namespaces.some(({ title }) => title === json.title) &&
        refuse(400, 10014, "a namespace with this account ID and title already exists");
      const namespace = {
        id: String(namespaces.length + 1).padStart(32, "0"),
        title: json.title,
        supports_url_encoding: true,
      };
      namespaces.push(namespace);
      return namespace;
    },
  ],
  [
    "GET /queues",
    ({ query }) => queues.filter(({ queue_name }) => !query.has("name") || query.getAll("name").includes(queue_name)),
  ],
  [
    "POST /queues",
    ({ json }) => {
      queues.some(({ queue_name }) => queue_name === json.queue_name) &&
        refuse(409, 11009, "Queue name is already taken.");
      const queue = {
        queue_id: `q${queues.length}`,
        queue_name: json.queue_name,
        producers: [],
        consumers: [],
        producers_total_count: 0,
        consumers_total_count: 0,
      };
      queues.push(queue);
      return queue;
    },
  ],
  ["POST /queues/:id/consumers", set_consumer],
  ["PUT /queues/:id/consumers/:name", set_consumer],
  [
    "GET /workers/services/:name",
    () =>
      worker
        ? {
            id: WORKER,
            default_environment: { environment: "production", script: { id: WORKER, last_deployed_from: "wrangler" } },
          }
        : refuse(404, 10090, "workers.api.error.service_not_found"),
  ],
  [
    "GET /workers/scripts/:name/secrets",
    () => Object.keys(existing().secrets).map((name) => ({ name, type: "secret_text" })),
  ],
  [
    "PUT /workers/scripts/:name/secrets",
    ({ json }) => {
      change_secrets([[json.name, json.text]]);
      return { name: json.name, type: "secret_text" };
    },
  ],
  [
    "PATCH /workers/scripts/:name/secrets-bulk",
    ({ json }) => {
      change_secrets(Object.entries(json.secrets).map(([name, { text }]) => [name, text]));
      return {};
    },
  ],
  ["GET /workers/scripts/:name/versions", () => ({ items: existing().versions })],
  ["GET /workers/scripts/:name/deployments", () => ({ deployments: existing().deployments })],
  ["GET /workers/scripts/:name/settings", () => ({ bindings: existing().bindings ?? [] })],
  ["PUT /workers/scripts/:name", (request) => upload(request, false)],
  ["POST /workers/scripts/:name/versions", (request) => upload(request, true)],
  ["POST /workers/scripts/:name/deployments", ({ json }) => deploy(json.versions)],
  ["PATCH /workers/scripts/:name/script-settings", () => ({})],
  [
    "GET /workers/workers/:name",
    () => ({ name: WORKER, subdomain: existing().subdomain ?? { enabled: false, previews_enabled: false } }),
  ],
  ["POST /workers/scripts/:name/subdomain", ({ json }) => Object.assign(existing(), { subdomain: json }).subdomain],
  [
    "GET /workers/subdomain",
    () =>
      refused === "no workers.dev"
        ? refuse(404, 10007, "You do not have a workers.dev subdomain.")
        : { subdomain: "acme" },
  ],
  [
    "PUT /workers/scripts/:name/schedules",
    ({ json }) => {
      running = null;
      existing().schedules = json.map(({ cron }) => cron);
      return { schedules: json };
    },
  ],
];

function route(method, path) {
  for (const [pattern, answer] of ROUTES) {
    const [wanted, ...parts] = pattern.split(/[ /]+/);
    const given = path.split("/").slice(1);
    const names = given.filter((_, index) => parts[index]?.startsWith(":"));
    if (
      method === wanted &&
      parts.length === given.length &&
      parts.every((part, index) => part.startsWith(":") || part === given[index])
    )
      return { answer, names };
  }
  return refuse(404, 7003, `not played: ${method} ${path}`);
}

async function answer(method, url, headers, body) {
  const path = url.pathname.replace("/client/v4", "");
  if (headers.authorization !== "Bearer cloudflare-token") refuse(401, 10000, "Authentication error");
  if (path === "/user/tokens/verify") return { id: "t", status: "active" };
  if (path === "/user") return { id: "u", email: "operator@acme.example" };
  if (path === "/accounts" || path === "/memberships") return [];
  if (refused && method !== "GET" && path.endsWith(refused)) {
    refused = null;
    refuse(500, 10013, "An unknown error has occurred.");
  }
  const { answer, names } = route(method, path.replace("/accounts/account", ""));
  const type = headers["content-type"] ?? "";
  const json = !type.startsWith("multipart") && body.length > 0 ? JSON.parse(body) : undefined;
  return answer({ body, json, names, query: url.searchParams, type });
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const url = new URL(request.url, "http://cloudflare");
  const send = (status, body) =>
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  if (url.pathname === "/state")
    return send(200, {
      namespaces,
      queues,
      secrets: worker?.secrets,
      versions: worker?.versions,
      deployments: worker?.deployments,
      schedules: worker?.schedules,
      starts,
    });
  if (url.pathname === "/refuse") {
    refused = String(Buffer.concat(chunks));
    return send(200, {});
  }
  try {
    const result = await answer(request.method, url, request.headers, Buffer.concat(chunks));
    const paged = url.pathname.endsWith("/queues") && { result_info: { page: 1, per_page: 100, total_pages: 1 } };
    send(200, { success: true, errors: [], messages: [], result, ...paged });
  } catch (error) {
    const { status = 500, code = 10013, message } = error;
    console.error(`${request.method} ${request.url}: ${status} ${message}`);
    send(status, { success: false, errors: [{ code, message }], messages: [], result: null });
  }
});
/** Cloudflare's edge: passes requests on to the Worker, which is started again after a change. */
const edge = createServer(async (request, response) => {
  try {
    const port = await (running ??= run());
    const { method, url, headers } = request;
    const asked = ask({ port, host: "127.0.0.1", method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    asked.on("error", () => response.destroy());
    request.pipe(asked);
  } catch (error) {
    response.writeHead(404).end(error.message);
  }
});
async function listen(server, is_probe = false) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  if (is_probe) await new Promise((resolve) => server.close(resolve));
  return port;
}
console.log(`http://127.0.0.1:${await listen(server)}\nhttp://127.0.0.1:${await listen(edge)}`);
process.on("exit", stop);
process.stdin.on("end", () => process.exit()).resume();
