/** One set of the kernel's, as the pods make it: an element stands as long as some pod brings it. */
import type { SetSource } from "./compile.ts";
import type { PodFacts } from "./model.ts";

export class ElementSet {
  readonly source: SetSource;
  /** How many policies name it. */
  users = 0;
  readonly #byPod = new Map<string, readonly string[]>();
  readonly #counts = new Map<string, number>();

  constructor(source: SetSource) {
    this.source = source;
  }

  /** Answers whether an element came or went. */
  set(
    key: string,
    pod: PodFacts | undefined,
    namespaceLabels: Readonly<Record<string, string>> | undefined,
  ): boolean {
    const before = this.#byPod.get(key) ?? [];
    const after = pod ? this.source.elementsOf(pod, namespaceLabels) : [];
    if (before.length === 0 && after.length === 0) return false;
    const size = this.#counts.size;
    let changed = false;
    for (const element of after) {
      const count = this.#counts.get(element) ?? 0;
      this.#counts.set(element, count + 1);
      if (count === 0) changed = true;
    }
    for (const element of before) {
      const count = this.#counts.get(element) ?? 0;
      if (count > 1) this.#counts.set(element, count - 1);
      else this.#counts.delete(element);
    }
    if (after.length > 0) this.#byPod.set(key, after);
    else this.#byPod.delete(key);
    return changed || this.#counts.size !== size;
  }

  has(element: string): boolean {
    return this.#counts.has(element);
  }

  elements(): Iterable<string> {
    return this.#counts.keys();
  }
}
