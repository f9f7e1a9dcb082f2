// What the runtime calls. scripts/build puts this around what `worker-build` makes. The entry point there is a class:
// for each request the runtime would make an object of it, behind a proxy that renews the object after a panic. Nothing
// here outlives a call, so there is nothing to renew: the first call after a panic makes a new instance of the
// WebAssembly by itself (`schedule_reinit` of wasm-bindgen; tests/node/restart.test.mjs).
import Entrypoint from "../build/index.js";

const { fetch, queue, scheduled } = Entrypoint.prototype;

export default {
  fetch: (request, env, ctx) => fetch.call({ env, ctx }, request),
  queue: (batch, env, ctx) => queue.call({ env, ctx }, batch),
  scheduled: (event, env, ctx) => scheduled.call({ env, ctx }, event),
};
