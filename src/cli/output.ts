/** What the command line prints: ticked steps while something takes time, tables and JSON at the end. */
import { type Clock, codeOf, messageOf, UserError } from "#base";

const isTerminal = process.stdout.isTTY === true;
const colour = (code: number) => (text: string) => (isTerminal ? `\x1b[${code}m${text}\x1b[0m` : text);
export const green = colour(32);
export const red = colour(31);
export const dim = colour(2);
export const bold = colour(1);

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Runs one step: says what is being done, then ticks it with its time, or crosses it and throws. */
export async function step<T>(clock: Clock, doing: string, done: string, work: () => Promise<T>): Promise<T> {
  const startMs = clock.monotonic();
  if (isTerminal) process.stdout.write(`${dim("…")} ${doing}`);
  const finish = (mark: string, text: string) => {
    const seconds = ((clock.monotonic() - startMs) / 1000).toFixed(1);
    process.stdout.write(`${isTerminal ? "\r\x1b[K" : ""}${mark} ${text} ${dim(`${seconds} s`)}\n`);
  };
  try {
    const result = await work();
    finish(green("✓"), done);
    return result;
  } catch (error) {
    finish(red("✗"), doing);
    throw error;
  }
}

/** What the machine refuses, whoever asks it. */
const machineFaults: Readonly<Record<string, string>> = {
  ENOSPC: "free some space, or choose a folder on another disk: --data-dir",
  EDQUOT: "free some space, or choose a folder on another disk: --data-dir",
  EROFS: "choose a folder that can be written: --data-dir",
  EACCES: "run it as the user who owns the folder, or choose another one: --data-dir",
  ENOTDIR: "choose another folder: --data-dir",
  EMFILE: "allow more open files: ulimit -n 65536",
};

/** An error as it came, or with its mend where the machine refused something. */
export function asUserError(error: unknown): unknown {
  const mend = error instanceof UserError ? undefined : machineFaults[codeOf(error) ?? ""];
  return mend ? new UserError(messageOf(error), mend, { cause: error }) : error;
}

/** One sentence and its mend for what the user can mend; the stack only for what is our own fault. */
export function printError(thrown: unknown): void {
  const error = asUserError(thrown);
  const out = process.stderr;
  out.write(`${red("✗")} ${messageOf(error)}\n`);
  if (error instanceof UserError) {
    if (error.mend) out.write(`  → ${error.mend}\n`);
  } else if (error instanceof Error && error.stack) {
    out.write(`${dim(error.stack.split("\n").slice(1).join("\n"))}\n`);
  }
}

/** Columns padded as kubectl pads them. */
export function table(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headers.map((h, i) => Math.max(h.length, ...rows.map((r) => (r[i] ?? "").length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((c, i) => c.padEnd(widths[i]!))
      .join("   ")
      .trimEnd();
  return [line(headers), ...rows.map(line)].join("\n");
}

export type OutputFormat = "table" | "json";

/** The value of `-o`; throws a `UserError` for what is neither. */
export function parseFormat(value: string): OutputFormat {
  if (value === "json" || value === "table") return value;
  throw new UserError(`-o ${value} is not known`, "use -o json or leave it out");
}
