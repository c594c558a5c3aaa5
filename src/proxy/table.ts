/** One nftables table of the proxy: what it must hold, and how the kernel comes to hold it. */
import { applyNftRules, deleteNftTable, type NftFamily, run } from "#base";
import { type Change, ElementStore } from "./element-store.ts";
import { type Fragment, mapNames, setNames } from "./fragments.ts";
import {
  type Capacity,
  capacityWith,
  leastCapacity,
  skeleton,
  type TableOptions,
  transaction,
} from "./ruleset.ts";

export class ProxyTable {
  readonly options: TableOptions;
  readonly store = new ElementStore();
  #capacity: Capacity = leastCapacity;
  /** The kernel's table is not known: nothing has been written yet, or somebody else did. */
  #unknown = true;

  constructor(options: TableOptions) {
    this.options = options;
  }

  set(owner: string, fragment: Fragment | undefined): void {
    this.store.set(owner, fragment);
    const capacity = fragment ? capacityWith(this.#capacity, fragment) : this.#capacity;
    if (capacity === this.#capacity) return;
    this.#capacity = capacity;
    this.#unknown = true;
  }

  /** One transaction for what has changed, or the whole table. Answers the changes. */
  async sync(): Promise<readonly Change[]> {
    const changes = this.store.take();
    const rules = this.#unknown
      ? skeleton(this.options, this.#capacity) + transaction(this.options, this.#everything())
      : transaction(this.options, changes);
    if (!rules) return changes;
    this.#unknown = true;
    await applyNftRules(rules);
    this.#unknown = false;
    return changes;
  }

  #everything(): Change[] {
    const all: Change[] = [];
    for (const set of [...mapNames, ...setNames]) {
      for (const [element, after] of this.store.elements(set))
        all.push({ set, element, before: undefined, after });
    }
    return all;
  }

  /** Whether the rules stand: somebody may have flushed them. The next `sync` writes the table anew where not. */
  async verify(): Promise<boolean> {
    const { family, table } = this.options;
    const { code, stdout } = await run("nft", ["list", "chain", family, table, "dispatch"]);
    const stands = code === 0 && stdout.includes("@services");
    if (!stands) this.#unknown = true;
    return stands;
  }

  static remove(family: NftFamily, table: string): Promise<void> {
    return deleteNftTable(table, family);
  }
}
