/** The garbage collector on random graphs of owners: what has an owner left stays, all else goes, whatever fails. */
import { expect, test } from "vitest";
import { configMaps, type corev1 } from "#api";
import { History, play, seeds } from "./history.ts";

const file = "owners.test.ts";
const policies = ["Background", "Foreground", "Orphan"] as const;

/** What is to be there in the end, from what is done to the graph. */
class Model {
  readonly owners = new Map<string, Set<string>>();

  /** Deletes `name`; its dependents lose it, and go with their last owner unless they are spared. */
  delete(name: string, spares: boolean): void {
    this.owners.delete(name);
    for (const [dependent, owners] of [...this.owners]) {
      if (!owners.delete(name)) continue;
      if (owners.size === 0 && !spares) this.delete(dependent, false);
    }
  }
}

test("the graph of owners neither leaks nor loses", async () => {
  for (const seed of seeds(10))
    await play(file, seed, async (random) => {
      const history = new History({ random, controllers: ["garbage-collector-controller"] });
      await history.begin();
      const model = new Model();
      const made = new Map<string, corev1.ConfigMap>();
      const make = async (name: string) => {
        const owners = [...model.owners.keys()].filter(() => history.chance(0.25)).slice(0, 3);
        const ownerReferences = owners.map((owner) => ({
          apiVersion: "v1",
          kind: "ConfigMap",
          name: owner,
          uid: made.get(owner)!.metadata.uid,
          blockOwnerDeletion: history.chance(0.5),
        }));
        const metadata = { namespace: "default", name, ...(owners.length > 0 ? { ownerReferences } : {}) };
        made.set(name, await history.create(configMaps, { metadata }));
        model.owners.set(name, new Set(owners));
      };
      const settle = async (rounds: number) => {
        for (let i = 0; i < rounds; i++) await history.step(2_000);
      };
      for (let i = 0; i < 14; i++) await make(`c${i}`);
      await settle(6);
      for (let i = 0; i < 5; i++) {
        const victim = history.pick([...model.owners.keys()]);
        const propagationPolicy = history.pick(policies) ?? "Background";
        if (!victim) break;
        model.delete(victim, propagationPolicy === "Orphan");
        await history.client.delete(
          configMaps,
          { namespace: "default", name: victim },
          { propagationPolicy },
        );
        // One deletion after the other: what two of them come to together depends on their order.
        for (let round = 0; round < 40; round++) await settle(2);
      }
      await history.calmDown();
      await settle(120);
      const left = (await history.list(configMaps)).map(({ metadata }) => metadata.name).sort();
      expect(left).toEqual([...model.owners.keys()].sort());
      await history.end();
    });
});
