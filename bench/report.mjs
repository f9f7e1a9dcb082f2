// Makes tables of the figures.
import { cpus, platform } from "node:os";
import { createRequire } from "node:module";
import { MODES } from "./modes.mjs";

const sorted = (values) => values.toSorted((a, b) => a - b);

/** The smallest value that at least this share of the values does not exceed. */
function quantile(values, share) {
  return sorted(values)[Math.max(0, Math.ceil(values.length * share) - 1)];
}

export function median(values) {
  const [low, high] = [Math.floor((values.length - 1) / 2), Math.ceil((values.length - 1) / 2)];
  return (sorted(values)[low] + sorted(values)[high]) / 2;
}

export const spread = (values) => ({ median: median(values), min: Math.min(...values), max: Math.max(...values) });

export const summary = (ms) => ({ p50_ms: quantile(ms, 0.5), p95_ms: quantile(ms, 0.95) });

function machine() {
  const { version } = createRequire(import.meta.url)("workerd/package.json");
  const [{ model }] = cpus();
  return { cores: cpus().length, processor: model, system: platform(), workerd: version };
}

const ms = (value) => value.toFixed(Math.abs(value) < 10 ? 2 : 0);
const ratio = ({ median, min, max }) => `${median.toFixed(2)} (${min.toFixed(2)}..${max.toFixed(2)})`;

/** A table in Markdown, so that the output of a run can be saved as it is. */
function table(head, rows) {
  const lines = [head, head.map(() => "---"), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** The heading of a column of ratios: all handlers are compared with the first. */
const comparedWith = (handlers) => `to ${Object.keys(handlers)[0]}`;

function modeTable(handlers) {
  const head = ["", "CPU ms", comparedWith(handlers), "p50 ms", "p95 ms", "KV reads", "writes", "waits", "Nylas"];
  const rows = Object.entries(handlers).map(([name, figures]) => {
    const waits = ["before_send", "before_answer", "after_answer"].map((when) => figures[`kv_waits_${when}`]);
    return [
      name,
      ms(figures.cpu_ms),
      ratio(figures.cpu_ratio),
      ms(figures.p50_ms),
      ms(figures.p95_ms),
      figures.kv_reads,
      figures.kv_writes,
      waits.join(" + "),
      figures.nylas_requests,
    ];
  });
  return table(head, rows);
}

function startTable(handlers) {
  const { empty: _, ...measured } = handlers;
  const rows = Object.entries(handlers).map(([name, figures]) => [
    name,
    ms(figures.ms),
    ratio(figures.ratio),
    ms(figures.cpu_ms),
    ratio(figures.cpu_ratio),
    ms(figures.cpu_above_empty_ms),
  ]);
  const to = comparedWith(measured);
  return table(["", "ms", to, "CPU ms", to, "above empty"], rows);
}

/** The figures as JSON, and the tables as text. */
export function report({ cold_start, modes }, { rounds, requests, starts, latency, receivesReplies }) {
  const on = machine();
  const settings = { rounds, requests, starts, kv_ms: latency.kv, nylas_ms: latency.nylas, replies: receivesReplies };
  const parts = [
    [
      `${on.cores} cores (${on.processor}), ${on.system}, workerd ${on.workerd}`,
      `A KV operation takes ${latency.kv} ms, Nylas ${latency.nylas} ms. CPU: of workerd's process, for a request.`,
      "Ratios: to what another handler took in the same round, median (least..most).",
      "Waits for KV: before the send + between it and the answer + after the answer.",
    ].join("\n"),
    ...Object.entries(modes).flatMap(([mode, handlers]) => [
      `${mode}, ${rounds} rounds of ${requests * MODES[mode].times} requests`,
      modeTable(handlers),
    ]),
  ];
  if (starts > 0) {
    parts.push(
      `cold start, from a new process to its first mail answered, KV and Nylas at once, ${starts} times ` +
        `("empty": a Worker that does nothing)`,
      startTable(cold_start),
    );
  }
  return { figures: { machine: on, settings, modes, cold_start }, tables: parts.join("\n\n") };
}
