/**
 * The Prometheus text format for samples that are made anew at every scrape.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */

export interface Sample {
  labels: Readonly<Record<string, string>>;
  value: number;
  /** When it was taken; without, it is of the scrape's own time. */
  atMs?: number;
}

export interface Family {
  name: string;
  help: string;
  type: "counter" | "gauge";
  samples: readonly Sample[];
}

const escaped = (text: string) =>
  text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');

function line(name: string, { labels, value, atMs }: Sample): string {
  const inside = Object.entries(labels)
    .map(([key, text]) => `${key}="${escaped(text)}"`)
    .join(",");
  return `${name}${inside ? `{${inside}}` : ""} ${value}${atMs === undefined ? "" : ` ${Math.round(atMs)}`}`;
}

/** Families without a sample are left out. */
export function expositionOf(families: readonly Family[]): string {
  const parts = families
    .filter(({ samples }) => samples.length > 0)
    .flatMap(({ name, help, type, samples }) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples.map((sample) => line(name, sample)),
    ]);
  return `${parts.join("\n")}\n`;
}
