/**
 * Enforces NetworkPolicies for the pods of this node. The rules stay when the agent stops; the next start replaces them in
 * one transaction, once it knows everything.
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
import { type corev1, namespaces, networkPolicies, pods, sameJson } from "#api";
import { applyNftRules, deleteNftTable, forComponent, messageOf, nftTableName, run, type World } from "#base";
import { type Informers, keyOf } from "#client";
import { factsOf, familyOf } from "./facts.ts";
import type { Family } from "./model.ts";
import { PolicyState } from "./policy-state.ts";
import { KernelTable, policySkeleton, policyTransaction, type TableName } from "./ruleset.ts";

export interface PolicyOptions {
  world: World;
  /** Of somebody who may follow all pods, namespaces and policies. */
  informers: Informers;
  clusterName: string;
  nodeName: string;
  /** Pods of the whole cluster: one of each family. */
  clusterCidrs: readonly string[];
}

export interface Policies {
  /** Before a pod's containers start: resolves when what isolates it is in the kernel. */
  admit(pod: Readonly<corev1.Pod>, addresses: readonly string[]): Promise<void>;
  /** Resolves when every change seen so far is in the kernel. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

const part = "policy";
const gatherMs = 10;
const retryMs = 1_000;
/** How often the rules are looked at, in case somebody flushed them. */
const verifyMs = 5_000;

/** One family's table. */
class PolicyTable {
  readonly state: PolicyState;
  readonly #name: TableName;
  /** Undefined: not known, so it is written anew. */
  #kernel: KernelTable | undefined;
  #isGone = false;

  constructor(family: Family, table: string) {
    this.state = new PolicyState(family);
    this.#name = { family, table };
  }

  /** Nobody has a policy and the kernel has no table: whatever pods do, there is nothing to write. */
  get isIdle(): boolean {
    return this.#isGone && this.state.isEmpty;
  }

  async sync(): Promise<void> {
    if (this.isIdle) return;
    if (!this.#kernel && this.state.isEmpty) {
      await deleteNftTable(this.#name.table, this.#name.family);
      this.#isGone = true;
      return;
    }
    this.#isGone = false;
    const kernel = this.#kernel ?? new KernelTable();
    if (!this.#kernel) this.state.everythingIsDirty();
    const changes = policyTransaction(this.#name, kernel, this.state);
    const rules = this.#kernel ? changes : policySkeleton(this.#name) + changes;
    if (!rules) return;
    this.#kernel = undefined;
    await applyNftRules(rules);
    this.#kernel = kernel;
  }

  async stands(): Promise<boolean> {
    if (!this.#kernel) return true;
    const { family, table } = this.#name;
    const { code, stdout } = await run("nft", ["list", "chain", family, table, "ingress"]);
    if (code === 0 && stdout.includes("@receivers")) return true;
    this.#kernel = undefined;
    return false;
  }
}

class RunningPolicies implements Policies {
  readonly #options: PolicyOptions;
  readonly #world: World;
  readonly #tables: readonly PolicyTable[];
  readonly #syncSeconds;
  /** Addresses of pods whose status does not tell them yet. */
  readonly #admitted = new Map<string, readonly string[]>();
  #running: Promise<void> | undefined;
  #due = false;
  #stopped = false;

  constructor(options: PolicyOptions) {
    this.#options = options;
    this.#world = forComponent(options.world, "network-policy");
    this.#syncSeconds = options.world.metrics.latency(
      "knarr_network_policy_sync_seconds",
      "Time of one transaction of network policies.",
    );
    const table = nftTableName(options.clusterName, part);
    this.#tables = options.clusterCidrs.map((cidr) => new PolicyTable(familyOf(cidr), table));
  }

  async start(): Promise<() => void> {
    const { informers } = this.#options;
    const caches = [informers.of(pods), informers.of(namespaces), informers.of(networkPolicies)] as const;
    const [podCache, namespaceCache, policyCache] = caches;
    // Nothing is enforced by half: the kernel keeps what it has until all is known.
    await Promise.all(caches.map((cache) => cache.waitForSync()));
    const offs = [
      namespaceCache.on({
        add: ({ metadata }) => this.#namespace(metadata.name, metadata.labels ?? {}),
        update: ({ metadata }, old) => {
          if (!sameJson(metadata.labels, old.metadata.labels))
            this.#namespace(metadata.name, metadata.labels ?? {});
        },
        delete: ({ metadata }) => this.#namespace(metadata.name, undefined),
      }),
      podCache.on({
        add: (pod) => this.#pod(pod),
        update: (pod, old) => {
          if (changesFacts(pod, old)) this.#pod(pod);
        },
        delete: (pod) => {
          this.#admitted.delete(keyOf(pod));
          for (const { state } of this.#tables) state.setPod(keyOf(pod), undefined);
          this.#touch();
        },
      }),
      policyCache.on({
        add: (policy) => this.#policy(keyOf(policy), policy),
        update: (policy, old) => {
          if (!sameJson(policy.spec, old.spec)) this.#policy(keyOf(policy), policy);
        },
        delete: (policy) => this.#policy(keyOf(policy), undefined),
      }),
    ];
    this.#touch();
    await this.#running;
    return () => {
      for (const off of offs) off();
    };
  }

  async admit(pod: Readonly<corev1.Pod>, addresses: readonly string[]): Promise<void> {
    if (pod.spec.hostNetwork || this.#stopped) return;
    const key = keyOf(pod);
    if (sameJson(this.#admitted.get(key), addresses)) return;
    this.#admitted.set(key, addresses);
    this.#pod(pod);
    await this.settled();
  }

  settled(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async verify(): Promise<void> {
    try {
      const stand = await Promise.all(this.#tables.map((table) => table.stands()));
      if (!stand.every(Boolean)) this.#touch();
    } catch (error) {
      this.#world.log.warn({ error: messageOf(error) }, "the rules of policies could not be looked at");
    }
  }

  #namespace(name: string, labels: Readonly<Record<string, string>> | undefined): void {
    for (const { state } of this.#tables) state.setNamespace(name, labels);
    this.#touch();
  }

  #pod(pod: Readonly<corev1.Pod>): void {
    const key = keyOf(pod);
    const { nodeName } = this.#options;
    for (const { state } of this.#tables)
      state.setPod(key, factsOf(pod, state.family, nodeName, this.#admitted.get(key)));
    this.#touch();
  }

  #policy(key: string, policy: Parameters<PolicyState["setPolicy"]>[1]): void {
    for (const { state } of this.#tables) state.setPolicy(key, policy);
    this.#touch();
  }

  #touch(): void {
    if (this.#tables.every((table) => table.isIdle)) return;
    this.#due = true;
    if (!this.#stopped) this.#running ??= this.#loop();
  }

  async #loop(): Promise<void> {
    const { clock, log } = this.#world;
    while (this.#due && !this.#stopped) {
      await clock.sleep(gatherMs);
      this.#due = false;
      const end = this.#syncSeconds.startTimer();
      try {
        for (const table of this.#tables) await table.sync();
      } catch (error) {
        log.warn({ error: messageOf(error) }, "nftables refused network policies; writing them again");
        this.#due = true;
        await clock.sleep(retryMs);
      }
      end();
    }
    this.#running = undefined;
  }
}

function changesFacts(pod: Readonly<corev1.Pod>, old: Readonly<corev1.Pod>): boolean {
  return (
    pod.metadata.uid !== old.metadata.uid ||
    pod.spec.nodeName !== old.spec.nodeName ||
    pod.status?.phase !== old.status?.phase ||
    pod.status?.podIP !== old.status?.podIP ||
    !sameJson(pod.metadata.labels, old.metadata.labels)
  );
}

export async function startPolicies(options: PolicyOptions): Promise<Policies> {
  const policies = new RunningPolicies(options);
  const off = await policies.start();
  const verifier = options.world.clock.every(verifyMs, () => void policies.verify());
  return {
    admit: (pod, addresses) => policies.admit(pod, addresses),
    settled: () => policies.settled(),
    async stop() {
      verifier.cancel();
      off();
      await policies.stop();
    },
  };
}

export async function removePolicies(clusterName: string): Promise<void> {
  for (const family of ["ip", "ip6"] as const) await deleteNftTable(nftTableName(clusterName, part), family);
}
