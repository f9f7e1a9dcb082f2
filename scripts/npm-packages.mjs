// scripts/npm-packages.mjs [--partial] FOLDER [OUT]: makes the npm packages of relayctl from the release's archives in
// FOLDER (relayctl-VERSION-TARGET.tar.gz), into OUT (FOLDER/npm). Every system's must be there, unless --partial (for
// tests) makes do with some: a release would lack a system, and nobody would notice. `relayctl` has a launcher; beside
// it npm installs the one package that has the program for the system. Nothing runs at installation, so
// `ignore-scripts` may be set.
//
// On Linux it takes the programs for musl: they are static and run with glibc, too.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** npm's names of a system and a processor, by Rust's name of both. */
const SYSTEMS = {
  "x86_64-unknown-linux-musl": ["linux", "x64"],
  "aarch64-unknown-linux-musl": ["linux", "arm64"],
  "x86_64-apple-darwin": ["darwin", "x64"],
  "aarch64-apple-darwin": ["darwin", "arm64"],
  "x86_64-pc-windows-msvc": ["win32", "x64"],
};
const SCOPE = "@clerk-nylas-relay";

const given = process.argv.slice(2);
const isPartial = given.includes("--partial");
const [folder, out = join(folder ?? "", "npm")] = given.filter((argument) => argument !== "--partial");
if (!folder) {
  console.error("usage: scripts/npm-packages.mjs [--partial] FOLDER [OUT]");
  process.exit(2);
}
const root = join(import.meta.dirname, "..");
const { version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const repository = readFileSync(join(root, "Cargo.toml"), "utf8").match(/^repository = "(.*)"$/m)[1];

function pack(name, more, files) {
  const made = mkdtempSync(join(tmpdir(), "npm-package-"));
  for (const [file, from] of Object.entries(files)) copyFileSync(from, join(made, file));
  copyFileSync(join(root, "LICENSE"), join(made, "LICENSE"));
  const common = { name, version, license, repository: { type: "git", url: `git+${repository}.git` } };
  writeFileSync(join(made, "package.json"), `${JSON.stringify({ ...common, ...more }, null, 2)}\n`);
  const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", out, made], { encoding: "utf8" });
  rmSync(made, { recursive: true });
  console.log(join(out, packed.trim()));
}

const archiveOf = (target) => join(folder, `relayctl-${version}-${target}.tar.gz`);
const missing = Object.keys(SYSTEMS).filter((target) => !existsSync(archiveOf(target)));
for (const target of missing) console.error(`npm-packages: no ${archiveOf(target)}`);
if (missing.length > 0 && !isPartial) process.exit(1);

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const optionalDependencies = {};
for (const [target, [os, cpu]] of Object.entries(SYSTEMS)) {
  if (missing.includes(target)) continue;
  const unpacked = mkdtempSync(join(tmpdir(), "relayctl-"));
  execFileSync("tar", ["-xzf", archiveOf(target), "-C", unpacked]);
  const program = os === "win32" ? "relayctl.exe" : "relayctl";
  const name = `${SCOPE}/relayctl-${os}-${cpu}`;
  const description = `relayctl for ${os} on ${cpu}; install the package relayctl in place of this.`;
  pack(name, { description, os: [os], cpu: [cpu] }, { [program]: join(unpacked, program) });
  optionalDependencies[name] = version;
  rmSync(unpacked, { recursive: true });
}
pack(
  `${SCOPE}/relayctl`,
  {
    description: "Sets up, checks, tries out and repairs a clerk-nylas-relay.",
    bin: { relayctl: "relayctl.js" },
    engines: { node: ">=18" },
    optionalDependencies,
  },
  { "relayctl.js": join(root, "relayctl/npm/relayctl.js") },
);
