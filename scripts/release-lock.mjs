// scripts/release-lock.mjs VERSION: the package-lock.json of a release, on standard output. It is the project's own
// lock file, without what wrangler does not need: npm writes another one with each of its versions, and a release must
// be the same bytes everywhere.
import { readFileSync } from "node:fs";

const { packages, ...lock } = JSON.parse(readFileSync("package-lock.json", "utf8"));
const needed = new Set();
// As Node finds a package: beside whoever asks for it, then in each folder above.
const find = (from, name) => {
  for (let folder = from; ; folder = folder.slice(0, folder.lastIndexOf("/node_modules/"))) {
    const path = `${folder}/node_modules/${name}`.replace(/^\//, "");
    if (packages[path]) return path;
    if (!folder.includes("/node_modules/")) return packages[`node_modules/${name}`] && `node_modules/${name}`;
  }
};
const need = (path) => {
  if (!path || needed.has(path)) return;
  needed.add(path);
  const { dependencies, optionalDependencies, peerDependencies } = packages[path];
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies }))
    need(find(path, name));
};
need("node_modules/wrangler");

const version = process.argv[2];
const { name, license, dependencies } = packages[""];
const root = { name, version, license, devDependencies: { wrangler: dependencies.wrangler } };
const kept = Object.entries(packages).filter(([path]) => needed.has(path));
console.log(JSON.stringify({ ...lock, version, packages: { "": root, ...Object.fromEntries(kept) } }, null, 2));
