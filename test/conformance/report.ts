/**
 * The reporter of `npm run conformance`: passed / written / all by area; with `--write` it writes docs/conformance.md.
 * Only a run of everything counts: what is not run is not passed.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Reporter, TestCase } from "vitest/node";

/** How many entries the list of v1.36 has in each area. */
const listed: Record<string, number> = {
  "api-machinery": 99,
  apps: 60,
  architecture: 1,
  auth: 10,
  cli: 17,
  instrumentation: 4,
  network: 47,
  node: 106,
  scheduling: 11,
  storage: 91,
};

interface Entry {
  id: string;
  title: string;
  area: string;
  passed: boolean;
}

const form = /^(.*) \[(([a-z-]+)-[0-9a-f]{6})\]$/;

function entryOf(test: TestCase): Entry | undefined {
  const match = form.exec(test.name);
  if (!match) return undefined;
  const [, title = "", id = "", area = ""] = match;
  return { id, title, area, passed: test.result().state === "passed" };
}

export default class ConformanceReport implements Reporter {
  /** By id: an entry of several tests passes with all of them. */
  readonly #entries = new Map<string, Entry>();

  onTestCaseResult(test: TestCase): void {
    const entry = entryOf(test);
    if (!entry || test.result().state === "skipped") return;
    const passed = entry.passed && this.#entries.get(entry.id)?.passed !== false;
    this.#entries.set(entry.id, { ...entry, passed });
  }

  onTestRunEnd(): void {
    const entries = [...this.#entries.values()];
    process.stdout.write(`\n${summary(entries)}\n`);
    if (process.env.CONFORMANCE_WRITE === "1")
      writeFileSync(join(import.meta.dirname, "../../docs/conformance.md"), page(entries));
  }
}

function rows(entries: readonly Entry[]): [string, number, number, number][] {
  const counted = Object.entries(listed).map(([area, all]): [string, number, number, number] => {
    const written = entries.filter((entry) => entry.area === area);
    return [area, written.filter((entry) => entry.passed).length, written.length, all];
  });
  const sum = (index: 1 | 2 | 3) => counted.reduce((total, row) => total + row[index], 0);
  return [...counted, ["all", sum(1), sum(2), sum(3)]];
}

function summary(entries: readonly Entry[]): string {
  const lines = rows(entries).map(
    ([area, passed, written, all]) => `${area.padEnd(16)} ${passed} passed / ${written} written / ${all}`,
  );
  return lines.join("\n");
}

function page(entries: readonly Entry[]): string {
  const table = rows(entries).map(
    ([area, passed, written, all]) => `| ${area} | ${passed} | ${written} | ${all} |`,
  );
  const sorted = [...entries].sort((a, b) => (a.id < b.id ? -1 : 1));
  const list = sorted.map((entry) => `| ${entry.passed ? "✓" : "✗"} | \`${entry.id}\` | ${entry.title} |`);
  return `# Conformance

Written by \`npm run conformance -- --write\`: the tests in \`test/conformance\`, one for each entry of the official
conformance list of Kubernetes v1.36 that is written so far, run through stock clients against a cluster of \`knarr up\`.
\`CONFORMANCE_KUBECONFIG\` points them at any other Kubernetes. An entry without a test counts as not passed.

| area | passed | written | on the list |
| --- | --- | --- | --- |
${table.join("\n")}

| | entry | |
| --- | --- | --- |
${list.join("\n")}
`;
}
