// The npm packages of relayctl: made from archives as the release's, installed from files alone, and run.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (file) => readFileSync(join(root, file), "utf8");
const { version } = JSON.parse(read("package.json"));
const folder = mkdtempSync(join(tmpdir(), "npm-test-"));
after(() => rmSync(folder, { recursive: true }));

const TARGETS = { linux: "unknown-linux-musl", darwin: "apple-darwin" };
const CPUS = { x64: "x86_64", arm64: "aarch64" };
const target = `${CPUS[process.arch]}-${TARGETS[process.platform]}`;

test("npm installs the program of this system, and runs no script for it", () => {
  // A program in place of the real one, which takes minutes to compile: it shows what it is called with.
  const built = join(folder, "built");
  mkdirSync(built);
  writeFileSync(join(built, "relayctl"), '#!/bin/sh\necho "called with $*"\nexit 7\n', { mode: 0o755 });
  execFileSync("tar", ["-czf", join(folder, `relayctl-${version}-${target}.tar.gz`), "-C", built, "relayctl"]);
  const make = (...args) =>
    spawnSync(process.execPath, [join(root, "scripts/npm-packages.mjs"), ...args, folder], { encoding: "utf8" });
  // A release has them all.
  const whole = make();
  assert.equal(whole.status, 1, whole.stdout);
  assert.equal(whole.stderr.match(/npm-packages: no .*\.tar\.gz/g).length, 4, whole.stderr);
  assert.equal(existsSync(join(folder, "npm")), false);
  const log = make("--partial");
  assert.equal(log.status, 0, log.stderr);
  const packages = readdirSync(join(folder, "npm"));
  assert.equal(packages.length, 2, packages.join());

  const project = join(folder, "project");
  mkdirSync(project);
  const files = packages.map((name) => join(folder, "npm", name));
  const options = ["--offline", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", project];
  execFileSync("npm", ["install", ...options, ...files], { stdio: "pipe" });
  const ran = spawnSync(join(project, "node_modules/.bin/relayctl"), ["status", "msg 1"], { encoding: "utf8" });
  assert.deepEqual([ran.status, ran.stdout], [7, "called with status msg 1\n"], ran.stderr);

  // Without its optional package it says what to do.
  rmSync(join(project, "node_modules/@clerk-nylas-relay", `relayctl-${process.platform}-${process.arch}`), {
    recursive: true,
  });
  const alone = spawnSync(join(project, "node_modules/.bin/relayctl"), [], { encoding: "utf8" });
  assert.equal(alone.status, 1);
  assert.match(alone.stderr, /not installed.*\n.*fix: npm install/);
});

test("each system has its archive in the release, and binstall looks for that name", () => {
  const workflow = read(".github/workflows/release.yml");
  const built = [...workflow.matchAll(/target: ([a-z0-9_-]+)/g)].map(([, name]) => name);
  assert.deepEqual(built.toSorted(), [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-gnu",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
  ]);
  const packaged = [...read("scripts/npm-packages.mjs").matchAll(/^ {2}"([a-z0-9_-]+)": \[/gm)].map(([, name]) => name);
  for (const name of packaged) assert.ok(built.includes(name), name);
  assert.ok(workflow.includes('"relayctl-${GITHUB_REF_NAME#v}-$TARGET.tar.gz"'));
  const manifest = read("relayctl/Cargo.toml");
  assert.ok(manifest.includes("/releases/download/v{ version }/relayctl-{ version }-{ target }{ archive-suffix }"));
});
