/**
 * One leader among several replicas, by a Lease: whoever holds it renews it; whoever sees it unchanged for its whole
 * duration, on his own clock, takes it.
 * https://github.com/kubernetes/client-go/blob/master/tools/leaderelection/leaderelection.go
 */
import { type coordinationv1, type Draft, formatMicroTime, isStatus, leases } from "#api";
import { messageOf, type World } from "#base";
import type { Client } from "./contract.ts";

export interface LeaderElectionOptions {
  client: Client;
  world: World;
  namespace: string;
  name: string;
  identity: string;
  signal: AbortSignal;
  leaseDurationMs?: number;
  renewDeadlineMs?: number;
  retryPeriodMs?: number;
}

/**
 * Runs `lead` while this replica is the leader; its signal aborts when the lease is lost. Returns when `signal` aborts,
 * when `lead` ends (rejects as it does), or when the lease was lost. The lease is given up, so that the next leader need
 * not wait.
 */
export async function runAsLeader(
  options: LeaderElectionOptions,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const elector = new Elector(options);
  if (!(await elector.acquire())) return;
  const leading = new AbortController();
  const stop = () => leading.abort();
  options.signal.addEventListener("abort", stop, { once: true });
  // Whoever leads no more renews no more.
  const work = lead(leading.signal).finally(stop);
  try {
    await Promise.all([work, elector.renew(leading.signal).finally(stop)]);
  } finally {
    options.signal.removeEventListener("abort", stop);
    await work.catch(() => {});
    await elector.release();
  }
}

class Elector {
  readonly #options: Required<LeaderElectionOptions>;
  #observed: { version: string; atMs: number } | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000, ...options };
  }

  /** True once the lease is ours; false when told to stop before. */
  async acquire(): Promise<boolean> {
    const { signal, world, retryPeriodMs } = this.#options;
    while (!signal.aborted) {
      if (await this.#tryOnce()) return true;
      await world.clock.sleep(retryPeriodMs * (1 + 1.2 * world.random.float()), signal);
    }
    return false;
  }

  /** Returns when told to stop, or when the lease could not be renewed in time. */
  async renew(signal: AbortSignal): Promise<void> {
    const { world, retryPeriodMs, renewDeadlineMs } = this.#options;
    let renewedMs = world.clock.monotonic();
    while (!signal.aborted) {
      await world.clock.sleep(retryPeriodMs, signal);
      if (signal.aborted) return;
      if (await this.#tryOnce()) renewedMs = world.clock.monotonic();
      else if (world.clock.monotonic() - renewedMs >= renewDeadlineMs) return;
    }
  }

  async release(): Promise<void> {
    const { client, namespace, name, identity } = this.#options;
    try {
      const lease = await client.get(leases, { namespace, name });
      if (lease.spec.holderIdentity !== identity) return;
      const spec = { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1 };
      await client.update(leases, { ...lease, spec });
    } catch (error) {
      this.#options.world.log.debug({ lease: name, error: messageOf(error) }, "the lease was not given up");
    }
  }

  async #tryOnce(): Promise<boolean> {
    try {
      return await this.#acquireOrRenew();
    } catch (error) {
      this.#options.world.log.debug({ lease: this.#options.name, error: messageOf(error) }, "no lease");
      return false;
    }
  }

  async #acquireOrRenew(): Promise<boolean> {
    const { client, namespace, name, identity, world } = this.#options;
    const lease = await this.#current();
    const nowMs = world.clock.now();
    if (!lease) {
      const draft: Draft<coordinationv1.Lease> = {
        metadata: { namespace, name },
        spec: this.#spec(nowMs, formatMicroTime(nowMs), 0),
      };
      await client.create(leases, draft);
      return true;
    }
    const { holderIdentity, acquireTime, leaseTransitions = 0 } = lease.spec;
    const ours = holderIdentity === identity;
    if (!ours && holderIdentity && !this.#expired(lease)) return false;
    const spec = this.#spec(
      nowMs,
      (ours && acquireTime) || formatMicroTime(nowMs),
      ours ? leaseTransitions : leaseTransitions + 1,
    );
    await client.update(leases, { ...lease, spec: { ...lease.spec, ...spec } });
    return true;
  }

  async #current(): Promise<coordinationv1.Lease | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      return await client.get(leases, { namespace, name });
    } catch (error) {
      if (isStatus(error, "NotFound")) return undefined;
      throw error;
    }
  }

  /** Measured on our own clock since the lease last changed: clocks of others may be wrong. */
  #expired(lease: coordinationv1.Lease): boolean {
    const { clock } = this.#options.world;
    const version = lease.metadata.resourceVersion;
    if (this.#observed?.version !== version) this.#observed = { version, atMs: clock.monotonic() };
    const durationMs = (lease.spec.leaseDurationSeconds ?? 0) * 1000;
    return clock.monotonic() - this.#observed.atMs >= durationMs;
  }

  #spec(nowMs: number, acquireTime: string, leaseTransitions: number) {
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.ceil(this.#options.leaseDurationMs / 1000),
      acquireTime,
      renewTime: formatMicroTime(nowMs),
      leaseTransitions,
    };
  }
}
