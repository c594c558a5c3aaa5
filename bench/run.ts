/**
 * `npm run bench [NAME…] [-- --write]`: runs the benchmarks (each folder's `bench.ts`) one after the other and prints
 * their medians; `--write` puts them into docs/benchmarks.md. Figures of a shared machine: read ratios, not digits.
 */
import { readdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { type Benchmark, median, percentile, type Row } from "./measure.ts";

const here = import.meta.dirname;
const all = readdirSync(here, { withFileTypes: true })
  .filter((d) => d.isDirectory())
  .map((d) => d.name)
  .sort();
const args = process.argv.slice(2);
const wanted = args.filter((arg) => !arg.startsWith("--"));
const unknown = wanted.find((name) => !all.includes(name));
if (unknown) throw new Error(`no benchmark ${unknown}; there are: ${all.join(", ")}`);

const digits = (value: number) => (value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(1));

function cells(row: Row): string[] {
  const middle = median(row.samples);
  const better = row.unit.endsWith("/s")
    ? (goal: number) => middle >= goal
    : (goal: number) => middle <= goal;
  const goal = row.goal === undefined ? "" : `${digits(row.goal)} ${better(row.goal) ? "met" : "missed"}`;
  const ratio = row.peer ? `${(middle / median(row.peer.samples)).toFixed(2)} × ${row.peer.name}` : "";
  return [
    row.what,
    `${digits(middle)} ${row.unit}`,
    digits(percentile(row.samples, 0.9)),
    String(row.samples.length),
    goal,
    ratio,
    row.note ?? "",
  ];
}

function markdown(benchmark: Benchmark): string {
  const head = ["", "median", "p90", "runs", "goal", "ratio", ""];
  const lines = [head, head.map(() => "---"), ...benchmark.rows.map(cells)].map(
    (row) => `| ${row.join(" | ")} |`,
  );
  return `## ${benchmark.title}\n\n${lines.join("\n")}\n`;
}

const results: string[] = [];
for (const name of wanted.length > 0 ? wanted : all) {
  process.stderr.write(`… ${name}\n`);
  const module = (await import(join(here, name, "bench.ts"))) as { default(): Promise<Benchmark> };
  const text = markdown(await module.default());
  results.push(text);
  process.stdout.write(`${text}\n`);
}

if (args.includes("--write")) {
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
  const intro = `# Benchmarks

Written by \`npm run bench -- --write\` on ${machine},
a shared virtual machine: ratios say more than digits. Every figure is measured by the code in \`bench/\`, nothing is typed
in by hand.
`;
  writeFileSync(join(here, "..", "docs", "benchmarks.md"), [intro, ...results].join("\n"));
}
