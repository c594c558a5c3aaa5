/**
 * A sorted set of strings with quick prefix scans: sorted chunks of bounded size in one sorted array. Adding and
 * deleting touch one chunk; a scan is two binary searches and a walk. Good to millions of keys.
 */

/** A chunk is split in two when it grows beyond this. */
const chunkMax = 1024;

/** The first index whose item is not below `key`. */
function lowerBound(items: readonly string[], key: string): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (items[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class SortedKeys {
  readonly #chunks: string[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Does nothing when the key is there already. */
  add(key: string): void {
    if (this.#chunks.length === 0) this.#chunks.push([]);
    const at = this.#chunkFor(key);
    const chunk = this.#chunks[at]!;
    const index = lowerBound(chunk, key);
    if (chunk[index] === key) return;
    if (index === chunk.length) chunk.push(key);
    else chunk.splice(index, 0, key);
    this.#size++;
    if (chunk.length > chunkMax) this.#chunks.splice(at + 1, 0, chunk.splice(chunkMax >>> 1));
  }

  delete(key: string): void {
    if (this.#chunks.length === 0) return;
    const at = this.#chunkFor(key);
    const chunk = this.#chunks[at]!;
    const index = lowerBound(chunk, key);
    if (chunk[index] !== key) return;
    chunk.splice(index, 1);
    this.#size--;
    if (chunk.length === 0) this.#chunks.splice(at, 1);
  }

  /** Keys that start with `prefix`, in order, from `start` on. The set must not change while the scan runs. */
  *scan(prefix: string, start = prefix): Generator<string> {
    if (this.#chunks.length === 0) return;
    const from = start > prefix ? start : prefix;
    for (let at = this.#chunkFor(from); at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at]!;
      for (let i = lowerBound(chunk, from); i < chunk.length; i++) {
        const key = chunk[i]!;
        if (!key.startsWith(prefix)) return;
        yield key;
      }
    }
  }

  /** How many keys `scan` would yield, without a look at each of them. */
  count(prefix: string, start = prefix): number {
    const from = start > prefix ? start : prefix;
    return Math.max(0, this.#rank(`${prefix}\uffff`) - this.#rank(from));
  }

  /** How many keys are below `key`. */
  #rank(key: string): number {
    if (this.#chunks.length === 0) return 0;
    const at = this.#chunkFor(key);
    let rank = lowerBound(this.#chunks[at]!, key);
    for (let i = 0; i < at; i++) rank += this.#chunks[i]!.length;
    return rank;
  }

  /** The last chunk that starts at or below `key`. */
  #chunkFor(key: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#chunks[middle]![0]! <= key) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}
