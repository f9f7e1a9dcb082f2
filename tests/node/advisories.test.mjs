// scripts/advisories: not to know is to fail, but where nothing can be reached.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../../scripts/advisories", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "advisories-test-"));
after(() => rmSync(folder, { recursive: true }));

/** The exit code, where `cargo deny` says this and ends so. */
function ended(says, status, environment) {
  writeFileSync(join(folder, "cargo"), `#!/bin/sh\necho '${says}' >&2\nexit ${status}\n`, { mode: 0o755 });
  const env = { ...process.env, PATH: folder + delimiter + process.env.PATH, ...environment };
  return spawnSync(script, { env, encoding: "utf8" }).status;
}

const HERE = { GITHUB_ACTIONS: "" };
const ON_GITHUB = { GITHUB_ACTIONS: "true" };
const OUT_OF_REACH = "error: failed to fetch advisory database https://github.com/rustsec/advisory-db";

test("a known weakness fails everywhere, and none passes", () => {
  for (const environment of [HERE, ON_GITHUB]) {
    assert.equal(ended("error[vulnerability]: RUSTSEC-2026-0001", 1, environment), 1);
    assert.equal(ended("advisories ok", 0, environment), 0);
  }
});

test("a list that cannot be fetched fails on GitHub, and is skipped elsewhere", () => {
  assert.notEqual(ended(OUT_OF_REACH, 1, ON_GITHUB), 0);
  assert.equal(ended(OUT_OF_REACH, 1, HERE), 0);
});
