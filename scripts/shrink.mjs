// scripts/shrink.mjs: makes what worker-build left in build/ smaller and changes nothing of what it does. Called by scripts/build,
// which asks worker-build for readable glue: it is read here line by line.
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";

const GLUE = "build/index.js";
const WASM = "build/index_bg.wasm";
const TEXT = "build/index_bg.wat";
// worker-build's own list.
const FEATURES = [
  "mutable-globals",
  "sign-ext",
  "nontrapping-float-to-int",
  "bulk-memory",
  "multivalue",
  "reference-types",
  "exception-handling",
].map((feature) => `--enable-${feature}`);
const run = (command, args, input) =>
  execFileSync(command, args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "inherit"], maxBuffer: 2 ** 30 });

let glue = readFileSync(GLUE, "utf8");
let text = run("wasm-dis", [...FEATURES, WASM]);

// Each function imported from the glue is called, say, `__wbg_get_31af05bd4842a84f`, on both sides. A hash cannot be compressed.
const IMPORT = /^( \(import "[^"]*" )"(__wb\w+)"/gm;
const short = new Map([...text.matchAll(IMPORT)].map(([, , name], index) => [name, `_${index}`]));
text = text.replace(IMPORT, (_, start, name) => `${start}"${short.get(name)}"`);
// So is what the glue calls.
const EXPORT = /^( \(export )"(__(?!worker)\w+|wasm_bindgen_\w+)"/gm;
[...text.matchAll(EXPORT)].forEach(([, , name], index) => short.set(name, `e${index}`));
text = text.replace(EXPORT, (_, start, name) => `${start}"${short.get(name)}"`);
glue = glue.replace(/\b(__|wasm_bindgen_)\w+/g, (name) => short.get(name) ?? name);

// Crate `worker` exports classes for what the relay does not use (R2, containers, streams written in Rust). Here esbuild learns
// that they have no side effects, and drops them: the Worker is the default export.
glue = glue
  .replace(/^if \(Symbol\.dispose\) .*\n/gm, "")
  .replace(/\bnew (Proxy|FinalizationRegistry)\(/g, "/* @__PURE__ */ $&");
writeFileSync(GLUE, glue);
glue = run(
  "esbuild",
  ["--bundle", "--minify", "--format=esm", "--external:./index_bg.wasm", "--external:cloudflare:*", "--log-level=warning"],
  `export { default } from "./${GLUE}";`,
);
writeFileSync(GLUE, glue);

// What the glue no longer mentions nobody can call; wasm-opt removes what only that needed.
text = text.replace(/^ \(export "(\w+)" .*\n/gm, (line, name) => (new RegExp(`\\.${name}\\b`).test(glue) ? line : ""));

// worker-build's own wasm-opt step keeps the names of all functions: 30 kB of the compressed upload. This one drops them; a panic's
// log line still says file and line. Large functions called once stay on their own: they compress better.
const OPTIONS = [...FEATURES, "--strip-debug", "--strip-producers", "--one-caller-inline-max-function-size", "20", "-Oz"];
writeFileSync(TEXT, text);
run("wasm-opt", [...OPTIONS, "--converge", TEXT, "-S", "-o", TEXT]);

// gzip finds what repeats within 32 kB only: functions that take and return the same, of about one size and with as many
// variables, stand side by side, and those that begin alike next to each other.
text = readFileSync(TEXT, "utf8");
const end = text.lastIndexOf("\n)") + 1;
const parts = text.slice(0, end).split(/^(?= \()/m);
const isFunction = (part) => part.startsWith(" (func ");
const order = (part) => {
  const [head, ...body] = part.split("\n");
  const padded = (number) => String(number).padStart(4, "0");
  return [
    head.match(/\((param|result) .*?\)/g)?.join() ?? "",
    padded(part.length.toString(2).length),
    padded(part.split("(local ").length),
    body.map((line) => line.trim().replace(/\$\d+/g, "$")).join("\n"),
  ].join("\n");
};
const functions = parts.filter(isFunction).map((part) => [order(part), part]);
functions.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
writeFileSync(TEXT, [...parts.filter((part) => !isFunction(part)), ...functions.map(([, part]) => part), text.slice(end)].join(""));
run("wasm-opt", [...OPTIONS, TEXT, "-o", WASM]);
rmSync(TEXT);
