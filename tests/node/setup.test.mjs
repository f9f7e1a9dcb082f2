// scripts/setup on machines that lack something: it names everything at once, and touches nothing before it may.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "setup-test-"));
after(() => rmSync(folder, { recursive: true }));

const USUAL =
  "bash sh env dirname sed sort head tail grep tr cut mkdir rm ln mv readlink sleep cat cmp touch awk ls chmod ldd " +
  "wc kill curl tar gzip sha256sum find";

/** A machine: the usual programs, and those given, each as the text of a script. */
function machine(name, programs, scripts = join(root, "scripts"), settings = {}) {
  const path = join(folder, name);
  mkdirSync(path);
  // A program that is given stands in place of a usual one: a link would be written through.
  for (const program of USUAL.split(" ").filter((program) => !(program in programs))) {
    const found = spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).stdout.trim();
    if (found.startsWith("/")) symlinkSync(found, join(path, program));
  }
  for (const [program, script] of Object.entries({ uname: "echo Linux", id: "echo 0", ...programs })) {
    writeFileSync(join(path, program), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  const apt = join(folder, `${name}.apt`);
  const cache = join(folder, `${name}.cache`);
  const env = { PATH: path, HOME: folder, CLERK_NYLAS_RELAY_CACHE: cache, APT_LOG: apt, ...settings };
  return {
    cache,
    installed: () => (existsSync(apt) ? readFileSync(apt, "utf8").trim() : ""),
    setup: (...options) =>
      spawnSync(join(scripts, "setup"), options, { env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }),
  };
}

const APT = 'echo "$*" >>"$APT_LOG"; [ "$1" = update ] || ln -sf "$(command -v cat)" "${0%/*}/cc"';
const library = join(folder, "library");
mkdirSync(library);
writeFileSync(join(library, "libstd-1.rlib"), "");
const RUSTC = `case "$*" in --version) echo "rustc 1.95.0 (x)" ;; *target-libdir*) echo ${library} ;; esac`;
const NPM = { cargo: "true", npm: "true", node: "echo v20.0.0", rustc: RUSTC };

/** The project before npm's packages are there, which have a Node of their own. */
const fresh = join(folder, "fresh");
mkdirSync(fresh);
symlinkSync(join(root, "scripts"), join(fresh, "scripts"));

test("what is missing is named at once, and nothing is installed", () => {
  const bare = machine("bare", { "apt-get": APT });
  for (const options of [["--system"], ["--system", "--yes"]]) {
    const ran = bare.setup(...options);
    assert.equal(ran.status, 1, ran.stdout);
    const all = ["Rust 1.91 or newer", "https://rustup.rs", "npm", "nodejs.org", "apt-get install build-essential"];
    for (const one of all)
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

test("a Node that is too old is named, and the one that is needed is the docs'", () => {
  const at = (version) =>
    machine(version, { ...NPM, cc: "true", node: `echo ${version}` }, join(fresh, "scripts")).setup("--system");
  const old = at("v19.9.0");
  assert.equal(old.status, 1, old.stdout);
  assert.match(old.stderr, /Node\.js 20 or newer +this is 19\.9: https:\/\/nodejs\.org/);
  assert.match(at("no version").stderr, /Node\.js 20 or newer +this is an unknown one/);
  assert.equal(at("v20.0.0").status, 0);
  const read = (file) => readFileSync(join(root, file), "utf8");
  const checkout = /Node (\d+) or later/;
  assert.deepEqual([read("README.md"), read("docs/deploy.md")].map((text) => text.match(checkout)[1]), ["20", "20"]);
  // A release brings wrangler alone, and no Node for it.
  const { engines } = JSON.parse(read("node_modules/wrangler/package.json"));
  const [, needed] = engines.node.match(/^>=(\d+\.\d+)\.0$/);
  for (const file of ["README.md", "docs/deploy.md"])
    assert.ok(read(file).includes(`Node ${needed} or later`), `${file}: ${needed}`);
});

test("on a Mac nothing is asked of apt-get", () => {
  const mac = machine("mac", { ...NPM, uname: "echo Darwin", cc: "true" });
  assert.equal(mac.setup("--system").status, 0);
  const bare = machine("bare-mac", { ...NPM, uname: "echo Darwin" }).setup("--system");
  assert.equal(bare.status, 1);
  assert.match(bare.stderr, /a C compiler .*xcode-select --install \(macOS\)/);
});

test("musl is not supported, and that is said", () => {
  const musl = machine("musl", { ...NPM, cc: "true", ldd: 'echo "musl libc (x86_64)" >&2; exit 1' });
  const ran = musl.setup("--system");
  assert.equal(ran.status, 1, ran.stdout);
  assert.match(ran.stderr, /glibc +Cloudflare's workerd needs it: this system \(musl\) is not supported/);
});

test("without apt-get what is missing is for the user to install", () => {
  const rustc = 'case "$*" in --version) echo "rustc 1.95.0 (x)" ;; *target-libdir*) exit 1 ;; esac';
  const ran = machine("no-apt", { ...NPM, rustc }).setup("--system", "--yes");
  assert.equal(ran.status, 1, ran.stdout);
  for (const one of ["a C compiler", "your system's package for it", "rustup target add wasm32-unknown-unknown"])
    assert.ok(ran.stderr.includes(one), `${one} is not in ${ran.stderr}`);
  assert.ok(!/packages of this system/.test(ran.stderr), ran.stderr);
});

test("while something takes long, what is left is said, and how far it is", () => {
  const steps = `set -eu; who=set-up cache=${join(folder, "steps")}; . ${join(root, "scripts/steps")}
    begin "the Worker" sh -c 'echo "Building [=> ] 12/40: serde"; sleep 3'
    begin "npm's packages" sleep 3
    finish_steps`;
  const env = { ...process.env, PROGRESS_EVERY: "1" };
  const ran = spawnSync("bash", ["-c", steps], { env, encoding: "utf8" });
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stdout, /^set-up: {3}\d s: left: the Worker \(12\/40\), npm's packages$/m);
  assert.match(ran.stdout, /^set-up: {3}\d s: done: the Worker$/m);
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

test("what only some tests need is named with the rest, before anything is installed", () => {
  // Where it is found without the path, as on a Mac, it is not missing.
  const apps = ["Google Chrome", "Chromium"].map((app) => `/Applications/${app}.app/Contents/MacOS/${app}`);
  const hasChromium = apps.some((app) => existsSync(app));
  const optional = `${hasChromium ? "" : "chromium "}python3 python3-venv openssl`;
  const without = machine("no-test-tools", { ...NPM, "apt-get": APT });
  const refused = without.setup("--tests", "--system");
  assert.equal(refused.status, 1, refused.stdout);
  const named = refused.stderr.split("as root:")[0];
  assert.match(named, /packages of this system +apt-get install build-essential\n/);
  assert.match(named, new RegExp(`packages for some tests +apt-get install ${optional}\\n`));
  assert.equal(without.installed(), "");
  const wished = without.setup("--tests", "--system", "--yes");
  assert.equal(wished.status, 0, wished.stderr);
  assert.deepEqual(
    without.installed().split("\n"),
    ["build-essential", optional].map((packages) => `install -y --no-install-recommends ${packages}`),
  );

  const mac = machine("mac-tests", { ...NPM, uname: "echo Darwin", cc: "true" }).setup("--tests", "--system");
  // Some tests are skipped; nothing is refused.
  assert.equal(mac.status, 0, mac.stderr);
  for (const one of [...(hasChromium ? [] : ["Chromium"]), "Python 3.10 or newer", "openssl"])
    assert.match(mac.stderr, new RegExp(`^  ${one} +for some tests: `, "m"));
  // What only tests need is not looked for without them.
  const plain = machine("plain", { ...NPM, cc: "true", "apt-get": APT }).setup("--system");
  assert.deepEqual([plain.status, plain.stderr], [0, ""]);
});

/** A project of its own to set up: the scripts, and what npm's mark is made of. */
function checkout(name) {
  const project = join(folder, name);
  cpSync(join(root, "scripts"), join(project, "scripts"), { recursive: true });
  for (const file of ["package.json", "package-lock.json", ".npmrc"])
    symlinkSync(join(root, file), join(project, file));
  return project;
}

/** Installs npm's packages, of which the fake npm makes none, and cargo's tools. What each was asked is in a file. */
const asked = (log) => ({
  ...NPM,
  cc: "true",
  node: "echo v22.0.0",
  npm: `echo "npm $*" >>${log}; mkdir -p "$2/node_modules"`,
  cargo: `echo "cargo $*" >>${log}; for folder; do :; done; mkdir -p "$folder/bin"`,
  curl: `echo "curl $*" >>${log}; exit 1`,
  python3: "exit 1",
});

test("what only the tests need waits for the tests", () => {
  const project = checkout("for-dev");
  const log = join(folder, "for-dev.log");
  const at = machine("for-dev-machine", asked(log), join(project, "scripts"));
  const dev = at.setup();
  assert.equal(dev.status, 0, dev.stderr);
  const npm = (omit) => `npm --prefix ${project} ci ${omit}--prefer-offline --loglevel=error`;
  assert.deepEqual(readFileSync(log, "utf8").trim().split("\n"), [npm("--omit=dev ")]);
  // Once is enough.
  at.setup();
  assert.equal(readFileSync(log, "utf8").trim().split("\n").length, 1);

  rmSync(log);
  const tests = at.setup("--tests");
  assert.equal(tests.status, 0, tests.stderr);
  const told = readFileSync(log, "utf8");
  assert.ok(told.startsWith(`${npm("")}\n`), told);
  for (const tool of ["cargo-machete", "cargo-deny"])
    assert.match(told, new RegExp(`^cargo install ${tool} --version `, "m"));
});

/** Sets up a project that pins `hash` for the tool that `publisher` may have prebuilt, and that cargo can compile. */
function prebuilt(name, publisher, hash) {
  const project = checkout(name);
  const versions = readFileSync(join(root, "scripts/versions"), "utf8");
  const ours = /^(cargo-mutants +x86_64-unknown-linux-gnu +)[0-9a-f]{64}$/m;
  assert.match(versions, ours);
  writeFileSync(join(project, "scripts/versions"), versions.replace(ours, `$1${hash}`));
  const compiled = 'for folder; do :; done; mkdir -p "$folder/bin"; echo compiled >"$folder/bin/cargo-mutants"';
  const programs = {
    ...NPM,
    cc: "true",
    cargo: compiled,
    node: "echo v22.0.0",
    npm: 'mkdir -p "$2/node_modules"',
    uname: '[ "$1" = -m ] && echo x86_64 || echo Linux',
  };
  const settings = { CLERK_NYLAS_RELAY_DOWNLOADS: `file://${publisher}` };
  const at = machine(`${name}-machine`, programs, join(project, "scripts"), settings);
  const ran = at.setup("--mutants");
  const [, version] = versions.match(/^CARGO_MUTANTS_VERSION=(.*)$/m);
  const tool = join(at.cache, `cargo-mutants-${version}`, "bin/cargo-mutants");
  return { ran, tool: existsSync(tool) ? readFileSync(tool, "utf8") : "" };
}

test("a tool that its publisher has prebuilt is downloaded if it is the pinned one, and compiled if not", () => {
  const [, version] = readFileSync(join(root, "scripts/versions"), "utf8").match(/^CARGO_MUTANTS_VERSION=(.*)$/m);
  const publisher = join(folder, "publisher");
  const release = join(publisher, "sourcefrog/cargo-mutants/releases/download", `v${version}`);
  mkdirSync(join(release, "made"), { recursive: true });
  const program = "#!/bin/sh\necho prebuilt\n";
  writeFileSync(join(release, "made/cargo-mutants"), program, { mode: 0o755 });
  const archive = join(release, "cargo-mutants-x86_64-unknown-linux-gnu.tar.gz");
  assert.equal(spawnSync("tar", ["-czf", archive, "-C", release, "made"]).status, 0);
  const hash = createHash("sha256").update(readFileSync(archive)).digest("hex");

  const right = prebuilt("pinned", publisher, hash);
  assert.deepEqual([right.ran.status, right.tool], [0, program], right.ran.stdout + right.ran.stderr);

  const other = prebuilt("not-pinned", publisher, "0".repeat(64));
  assert.deepEqual([other.ran.status, other.tool], [0, "compiled\n"], other.ran.stdout + other.ran.stderr);
  assert.match(other.ran.stdout, /not downloaded: its SHA-256 is not the one in scripts\/versions/);

  const none = prebuilt("nobody", join(folder, "nobody"), hash);
  assert.deepEqual([none.ran.status, none.tool], [0, "compiled\n"], none.ran.stdout + none.ran.stderr);
  assert.match(none.ran.stdout, /not downloaded: curl: /);
});
