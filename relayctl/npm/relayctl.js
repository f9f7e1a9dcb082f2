#!/usr/bin/env node
// Runs the program that npm installed for this machine: one package for each system has it (scripts/npm-packages.mjs).
"use strict";
const { spawn } = require("node:child_process");

const name = `@clerk-nylas-relay/relayctl-${process.platform}-${process.arch}`;
const program = process.platform === "win32" ? "relayctl.exe" : "relayctl";
let path;
try {
  path = require.resolve(`${name}/${program}`);
} catch {
  console.error(
    `relayctl: ${name} is not installed.\n` +
      "  fix: npm install without --omit=optional; if there is no such package, your system has none: " +
      "build it with cargo (docs/relayctl.md)",
  );
  process.exit(1);
}
const child = spawn(path, process.argv.slice(2), { stdio: "inherit" });
child.on("error", (error) => {
  console.error(`relayctl: ${path} cannot be run: ${error.message}`);
  process.exitCode = 1;
});
// A terminal's Ctrl-C reaches both; the program decides what it means.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.on("exit", (code, signal) => {
  process.exitCode = signal ? 1 : code;
});
