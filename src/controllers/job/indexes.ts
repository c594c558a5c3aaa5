/** Completion indexes of an Indexed Job, written as upstream writes them: `0,2-5,9`. */
import type { corev1 } from "#api";

export const indexKey = "batch.kubernetes.io/job-completion-index";

export function indexOf(pod: Readonly<corev1.Pod>): number | undefined {
  const text = pod.metadata.annotations?.[indexKey];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

export function parseIndexes(text: string | undefined): Set<number> {
  const indexes = new Set<number>();
  for (const part of (text ?? "").split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (!match) continue;
    const first = Number(match[1]);
    for (let index = first; index <= Number(match[2] ?? first); index++) indexes.add(index);
  }
  return indexes;
}

export function formatIndexes(indexes: Iterable<number>): string {
  const sorted = [...new Set(indexes)].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let last = i;
    while (last + 1 < sorted.length && sorted[last + 1] === sorted[last]! + 1) last++;
    const [from, to] = [sorted[i], sorted[last]];
    // Two neighbours are written as a list upstream too.
    parts.push(last === i ? `${from}` : last === i + 1 ? `${from},${to}` : `${from}-${to}`);
    i = last + 1;
  }
  return parts.join(",");
}

/** The lowest indexes that are neither done nor under way. */
export function freeIndexes(count: number, completions: number, taken: ReadonlySet<number>): number[] {
  const free: number[] = [];
  for (let index = 0; index < completions && free.length < count; index++)
    if (!taken.has(index)) free.push(index);
  return free;
}
