// What the runtime calls: the functions that scripts/build makes of the WebAssembly. Nothing here outlives a call, so
// there is nothing to renew after a panic: the first call after it makes a new instance of the WebAssembly by itself
// (`schedule_reinit` of wasm-bindgen; tests/node/restart.test.mjs).
import { fetch, queue, scheduled } from "../target/worker/glue/index.js";

// Enough for a whole stack trace: V8 would cut it after 10 functions.
Error.stackTraceLimit = 100;

export default { fetch, queue, scheduled };
