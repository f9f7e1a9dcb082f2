// Checks the bodies of hand-offs against docs/reply.schema.json, strictly: the schema must describe every member.
// node tests/replies/schema.mjs: reads one JSON {"body"} per line (other members are ignored), writes `ok` or the error
// for each; exit 1 unless all are ok.
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { perLine } from "./verify.mjs";

const schema = JSON.parse(readFileSync(new URL("../../docs/reply.schema.json", import.meta.url), "utf8"));

/** Receivers tolerate members that a later version adds. The relay must describe every member that it adds. */
function closed(part) {
  if (part === null || typeof part !== "object") return part;
  if (Array.isArray(part)) return part.map(closed);
  const all = Object.fromEntries(Object.entries(part).map(([name, value]) => [name, closed(value)]));
  return typeof part.properties === "object" && part.required ? { ...all, additionalProperties: false } : all;
}

const compile = (schema) => new Ajv2020({ allErrors: true, allowUnionTypes: true }).compile(schema);
const tolerant = compile(schema);
const strict = compile({ ...closed(schema), $id: `${schema.$id}:strict` });

/** The errors of a payload, or null. */
export function wrong(payload, { strictly = true } = {}) {
  const check = strictly ? strict : tolerant;
  if (check(payload)) return null;
  return check.errors.map(({ instancePath, message }) => `${instancePath || "/"} ${message}`).join("; ");
}

if (import.meta.filename === process.argv[1]) {
  await perLine(({ body }) => {
    const problem = wrong(JSON.parse(body));
    if (problem) throw new Error(problem);
  });
}
