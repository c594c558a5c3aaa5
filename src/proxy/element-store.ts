/**
 * What the kernel's sets must hold, put together from fragments by owner. Two owners may name the same element (two
 * Services with one external address): the first by name has it, and the next one when that goes. A change costs what
 * its owner has, not what the cluster has.
 */
import type { Fragment, SetName } from "./fragments.ts";

export interface Change {
  set: SetName;
  element: string;
  /** Absent: not there. */
  before: string | undefined;
  after: string | undefined;
}

interface Claim {
  owner: string;
  value: string;
  /** Sorted by owner. */
  next: Claim | undefined;
}

export class ElementStore {
  readonly #claims = new Map<SetName, Map<string, Claim>>();
  readonly #fragments = new Map<string, Fragment>();
  /** What was there before the first change since the last `take`, by set and element. */
  readonly #changed = new Map<SetName, Map<string, string | undefined>>();

  owners(): Iterable<string> {
    return this.#fragments.keys();
  }

  fragment(owner: string): Fragment | undefined {
    return this.#fragments.get(owner);
  }

  /** What the owner has from now on; undefined: nothing. */
  set(owner: string, fragment: Fragment | undefined): void {
    const former = this.#fragments.get(owner);
    for (const [set, elements] of former?.elements ?? []) {
      const next = fragment?.elements.get(set);
      for (const [element, value] of elements)
        if (next?.get(element) !== value) this.#change(set, element, (claim) => without(claim, owner));
    }
    for (const [set, elements] of fragment?.elements ?? []) {
      const before = former?.elements.get(set);
      for (const [element, value] of elements)
        if (before?.get(element) !== value)
          this.#change(set, element, (claim) => withClaim(claim, { owner, value, next: undefined }));
    }
    if (fragment) this.#fragments.set(owner, fragment);
    else this.#fragments.delete(owner);
  }

  get(set: SetName, element: string): string | undefined {
    return this.#claims.get(set)?.get(element)?.value;
  }

  *elements(set: SetName): Generator<[element: string, value: string]> {
    for (const [element, { value }] of this.#claims.get(set) ?? []) yield [element, value];
  }

  /** The changes since it was last called. */
  take(): Change[] {
    const changes: Change[] = [];
    for (const [set, elements] of this.#changed) {
      for (const [element, before] of elements) {
        const after = this.get(set, element);
        if (after !== before) changes.push({ set, element, before, after });
      }
    }
    this.#changed.clear();
    return changes;
  }

  #change(set: SetName, element: string, to: (claim: Claim | undefined) => Claim | undefined): void {
    const claims = entry(this.#claims, set);
    const before = claims.get(element);
    const changed = entry(this.#changed, set);
    if (!changed.has(element)) changed.set(element, before?.value);
    const after = to(before);
    if (after) claims.set(element, after);
    else claims.delete(element);
  }
}

function entry<K, L, V>(map: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let inner = map.get(key);
  if (!inner) {
    inner = new Map();
    map.set(key, inner);
  }
  return inner;
}

function without(claim: Claim | undefined, owner: string): Claim | undefined {
  if (!claim) return undefined;
  return claim.owner === owner ? claim.next : { ...claim, next: without(claim.next, owner) };
}

function withClaim(claim: Claim | undefined, added: Claim): Claim {
  if (!claim || added.owner < claim.owner) return { ...added, next: claim };
  if (claim.owner === added.owner) return { ...added, next: claim.next };
  return { ...claim, next: withClaim(claim.next, added) };
}
