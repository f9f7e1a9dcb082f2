// scripts/setup on machines that lack something: it names everything at once, and touches nothing before it may.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "setup-test-"));
after(() => rmSync(folder, { recursive: true }));

const USUAL =
  "bash sh env dirname sed sort head tail grep tr cut mkdir rm ln mv readlink sleep cat cmp touch awk ls chmod ldd " +
  "wc kill";

/** A machine: the usual programs, and those given, each as the text of a script. */
function machine(name, programs) {
  const path = join(folder, name);
  mkdirSync(path);
  for (const program of USUAL.split(" ")) {
    const found = spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).stdout.trim();
    if (found.startsWith("/")) symlinkSync(found, join(path, program));
  }
  for (const [program, script] of Object.entries({ uname: "echo Linux", id: "echo 0", ...programs })) {
    writeFileSync(join(path, program), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  const apt = join(folder, `${name}.apt`);
  const cache = join(folder, `${name}.cache`);
  const env = { PATH: path, HOME: folder, CLERK_NYLAS_RELAY_CACHE: cache, APT_LOG: apt };
  return {
    cache,
    installed: () => (existsSync(apt) ? readFileSync(apt, "utf8").trim() : ""),
    setup: (...options) =>
      spawnSync(join(root, "scripts/setup"), options, { env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }),
  };
}

const APT = 'echo "$*" >>"$APT_LOG"; [ "$1" = update ] || ln -sf "$(command -v cat)" "${0%/*}/cc"';
const library = join(folder, "library");
mkdirSync(library);
writeFileSync(join(library, "libstd-1.rlib"), "");
const RUSTC = `case "$*" in --version) echo "rustc 1.95.0 (x)" ;; *target-libdir*) echo ${library} ;; esac`;
const NPM = { cargo: "true", npm: "true", rustc: RUSTC };

test("what is missing is named at once, and nothing is installed", () => {
  const bare = machine("bare", { "apt-get": APT });
  for (const options of [["--system"], ["--system", "--yes"]]) {
    const ran = bare.setup(...options);
    assert.equal(ran.status, 1, ran.stdout);
    for (const one of ["Rust 1.91 or newer", "https://rustup.rs", "npm", "nodejs.org", "apt-get install build-essential"])
      assert.ok(ran.stderr.includes(one), `${one} is not in ${ran.stderr}`);
    assert.ok(ran.stderr.includes("nothing was changed"), ran.stderr);
  }
  assert.equal(bare.installed(), "");
  assert.equal(existsSync(bare.cache), false);
});

test("an old Rust, and a system that is not supported, are named", () => {
  const old = machine("old", { ...NPM, rustc: 'echo "rustc 1.80.1 (x)"', cc: "true" });
  assert.match(old.setup("--system").stderr, /Rust 1\.91 or newer +this is 1\.80: rustup update/);
  const windows = machine("windows", { ...NPM, cc: "true", uname: "echo MINGW64_NT" });
  assert.match(windows.setup("--system").stderr, /on Windows use WSL/);
});

test("nothing is installed with root's rights unless that is wished", () => {
  const without = machine("without", { ...NPM, "apt-get": APT });
  const refused = without.setup("--system");
  assert.equal(refused.status, 1, refused.stdout);
  assert.match(refused.stderr, /as root: apt-get install build-essential {3}\(or run scripts\/setup --yes\)/);
  assert.equal(without.installed(), "");
  const wished = without.setup("--system", "--yes");
  assert.equal(wished.status, 0, wished.stderr);
  assert.equal(without.installed(), "install -y --no-install-recommends build-essential");
});
