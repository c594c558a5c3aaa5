/** A binary heap whose items can be taken out from the middle by key. */

export class KeyedHeap<T> {
  readonly #keyOf: (item: T) => string;
  readonly #before: (a: T, b: T) => boolean;
  readonly #items: T[] = [];
  readonly #places = new Map<string, number>();

  constructor(keyOf: (item: T) => string, before: (a: T, b: T) => boolean) {
    this.#keyOf = keyOf;
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  get(key: string): T | undefined {
    const place = this.#places.get(key);
    return place === undefined ? undefined : this.#items[place];
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** Replaces the item of the same key. */
  set(item: T): void {
    this.delete(this.#keyOf(item));
    this.#items.push(item);
    this.#places.set(this.#keyOf(item), this.#items.length - 1);
    this.#up(this.#items.length - 1);
  }

  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.delete(this.#keyOf(first));
    return first;
  }

  delete(key: string): T | undefined {
    const place = this.#places.get(key);
    if (place === undefined) return undefined;
    const item = this.#items[place]!;
    const last = this.#items.pop()!;
    this.#places.delete(key);
    if (place < this.#items.length) {
      this.#put(place, last);
      this.#up(place);
      this.#down(this.#places.get(this.#keyOf(last))!);
    }
    return item;
  }

  #put(place: number, item: T): void {
    this.#items[place] = item;
    this.#places.set(this.#keyOf(item), place);
  }

  #up(from: number): void {
    const item = this.#items[from]!;
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.#before(item, this.#items[parent]!)) break;
      this.#put(place, this.#items[parent]!);
      place = parent;
    }
    this.#put(place, item);
  }

  #down(from: number): void {
    const item = this.#items[from]!;
    let place = from;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= this.#items.length) break;
      if (child + 1 < this.#items.length && this.#before(this.#items[child + 1]!, this.#items[child]!))
        child++;
      if (!this.#before(this.#items[child]!, item)) break;
      this.#put(place, this.#items[child]!);
      place = child;
    }
    this.#put(place, item);
  }
}
