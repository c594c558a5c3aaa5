/**
 * Which API servers there are: each renews a Lease of its own, and the kubernetes Service leads to all that do.
 * https://kubernetes.io/docs/concepts/architecture/leases/#api-server-identity
 */
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import {
  type coordinationv1,
  formatMicroTime,
  isStatus,
  type KubernetesObject,
  leases,
  type ResourceDefinition,
} from "#api";
import { keyPrefix } from "./cache/keys.ts";
import type { Registry, Target, WriteContext } from "./registry/context.ts";
import { create } from "./registry/create.ts";
import { remove } from "./registry/delete.ts";
import { change, mainStrategy } from "./registry/update.ts";
import { authenticatedGroup } from "./user.ts";

export interface ServerAddress {
  readonly ip: string;
  readonly port: number;
}

type Lease = coordinationv1.Lease & KubernetesObject;

const context: WriteContext = {
  user: { username: "system:apiserver", groups: ["system:masters", authenticatedGroup] },
  dryRun: false,
};
const definition = leases as ResourceDefinition;
const namespace = "kube-system";
const identityLabel = "apiserver.kubernetes.io/identity";
const component = "kube-apiserver";
const addressAnnotation = "knarr.dev/advertised-address";
/** Upstream's: after so long without a renewal the Lease itself is deleted. */
const leaseSeconds = 3600;
export const renewEveryMs = 10_000;
/** Who has not renewed for so long is not led to any more. */
const silentMaxMs = 3 * renewEveryMs;

export class ServerIdentity {
  readonly #registry: Registry;
  readonly #address: ServerAddress;
  readonly #name: string;
  readonly #holder: string;
  /** When a Lease was last seen to change, on our own clock: those of others may be wrong. */
  readonly #seen = new Map<string, { revision: string; atMs: number }>();
  #renewedMs = Number.NEGATIVE_INFINITY;

  constructor(registry: Registry, address: ServerAddress) {
    this.#registry = registry;
    this.#address = address;
    this.#name = `apiserver-${hashOf(`${hostname()}:${textOf(address)}`)}`;
    this.#holder = `${this.#name}_${registry.world.random.uuid()}`;
  }

  /** Renews what is due, and answers where servers are: this one among them. */
  async servers(): Promise<readonly ServerAddress[]> {
    const nowMs = this.#registry.world.clock.monotonic();
    if (nowMs - this.#renewedMs >= renewEveryMs / 2) {
      await this.#renew();
      this.#renewedMs = nowMs;
    }
    const all = this.#leases();
    for (const lease of all) if (this.#silentMs(lease) > leaseSeconds * 1000) await this.#delete(lease);
    return addressesOf(all.filter((lease) => this.#isAlive(lease)));
  }

  /** This server goes: where the others are. Without any, all stays as it is, for it comes back. */
  async leave(): Promise<readonly ServerAddress[] | undefined> {
    const others = this.#leases().filter((lease) => lease.metadata.name !== this.#name);
    const alive = addressesOf(others.filter((lease) => this.#isAlive(lease)));
    if (alive.length === 0) return undefined;
    const own = this.#leases().find((lease) => lease.metadata.name === this.#name);
    if (own) await this.#delete(own);
    return alive;
  }

  #target(name: string): Target {
    return { definition, namespace, name };
  }

  async #renew(): Promise<void> {
    const { storage, world } = this.#registry;
    const spec = {
      holderIdentity: this.#holder,
      leaseDurationSeconds: leaseSeconds,
      renewTime: formatMicroTime(world.clock.now()),
    };
    if (storage.find(definition, namespace, this.#name)) {
      await change(this.#registry, this.#target(this.#name), context, mainStrategy(definition), (read) => {
        const lease = read() as Lease;
        lease.spec = { ...lease.spec, ...spec };
        return lease;
      });
      return;
    }
    const metadata = {
      name: this.#name,
      namespace,
      labels: { [identityLabel]: component, ...hostLabel() },
      annotations: { [addressAnnotation]: textOf(this.#address) },
    };
    const lease = { kind: "Lease", apiVersion: "coordination.k8s.io/v1", metadata, spec };
    await create(this.#registry, this.#target(""), context, lease as unknown as KubernetesObject);
  }

  async #delete({ metadata }: Lease): Promise<void> {
    try {
      await remove(this.#registry, this.#target(metadata.name), context, {});
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
    }
  }

  #leases(): Lease[] {
    const cache = this.#registry.storage.cache(definition);
    const found: Lease[] = [];
    for (const object of cache.scan(`${keyPrefix(definition)}${namespace}/`))
      if (object.facts.labels?.[identityLabel] === component) found.push(object.parse() as Lease);
    return found;
  }

  #isAlive(lease: Lease): boolean {
    const { name, resourceVersion: revision } = lease.metadata;
    if (name === this.#name) return true;
    const nowMs = this.#registry.world.clock.monotonic();
    const seen = this.#seen.get(name);
    if (!seen) {
      // Nothing but its own word for the first time.
      const atMs = nowMs - Math.max(0, this.#silentMs(lease));
      this.#seen.set(name, { revision, atMs });
      return nowMs - atMs < silentMaxMs;
    }
    if (seen.revision !== revision) this.#seen.set(name, { revision, atMs: nowMs });
    return nowMs - this.#seen.get(name)!.atMs < silentMaxMs;
  }

  #silentMs({ spec }: Lease): number {
    const renewedMs = Date.parse(spec.renewTime ?? "");
    return Number.isNaN(renewedMs) ? 0 : this.#registry.world.clock.now() - renewedMs;
  }
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 26);
}

function hostLabel(): Record<string, string> {
  const name = hostname();
  return /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(name)
    ? { "kubernetes.io/hostname": name }
    : {};
}

function textOf({ ip, port }: ServerAddress): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** In one order for all servers: they must not correct each other. */
function addressesOf(all: readonly Lease[]): ServerAddress[] {
  const texts = all.map(({ metadata }) => metadata.annotations?.[addressAnnotation] ?? "");
  return [...new Set(texts)].sort().flatMap((text) => {
    const [, ip, port] = /^\[?([0-9a-fA-F.:]+?)\]?:(\d{1,5})$/.exec(text) ?? [];
    return ip && port ? [{ ip, port: Number(port) }] : [];
  });
}
