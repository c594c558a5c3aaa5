/**
 * What the scheduler knows of devices: who offers them, who has them, and which it is giving away at this moment. What it
 * has written counts before the API tells it.
 */
import {
  deviceClasses,
  deviceTaintRules,
  resourceClaims,
  resourceSlices,
  type resourcev1,
  type resourcev1beta2,
} from "#api";
import { type Informer, type Informers, indexByOwner, ownedBy } from "#client";
import type { ClusterEvent } from "../define-plugin.ts";
import type { Pod } from "../pod-info.ts";
import type { Claim } from "./claims.ts";
import type { DeviceLookups } from "./device-lookups.ts";
import { classesByResource, isExtendedClaimOf } from "./extended-requests.ts";
import { DevicePools } from "./pools.ts";
import type { DeviceClass } from "./requests.ts";
import { TakenDevices } from "./taken-devices.ts";

type Allocation = Readonly<resourcev1.AllocationResult>;

export class DeviceBook implements DeviceLookups {
  readonly pools = new DevicePools();
  readonly taken = new TakenDevices();
  readonly informers: readonly Informer[];
  readonly #claims: Informer<resourcev1.ResourceClaim>;
  readonly #classes: Informer<resourcev1.DeviceClass>;
  readonly #rules: Informer<resourcev1beta2.DeviceTaintRule>;
  /** What of each claim is counted in `taken`, by uid. */
  readonly #counted = new Map<string, Allocation>();
  readonly #pending = new Map<string, Allocation>();
  /** As they were written, until the informer has seen it. */
  readonly #ahead = new Map<string, Claim>();
  readonly #listeners: ((event: ClusterEvent) => void)[] = [];
  readonly #ends: (() => void)[];
  #byResource: ReadonlyMap<string, DeviceClass> | undefined;
  #classesVersion = 0;
  #ruleList: readonly Readonly<resourcev1beta2.DeviceTaintRule>[] | undefined;

  constructor(informers: Informers) {
    this.#claims = indexByOwner(informers.of(resourceClaims));
    this.#classes = informers.of(deviceClasses);
    this.#rules = informers.of(deviceTaintRules);
    const slices = informers.of(resourceSlices);
    this.informers = [this.#claims, this.#classes, this.#rules, slices] as unknown as Informer[];
    const devicesChanged = () => this.#tell({ kind: "DevicesChanged" });
    const rulesChanged = () => {
      this.#ruleList = undefined;
      devicesChanged();
    };
    const classes = this.#classes;
    const classesChanged = () => {
      this.#byResource = undefined;
      this.#classesVersion++;
      devicesChanged();
    };
    this.#ends = [
      classes.on({ add: classesChanged, update: classesChanged, delete: classesChanged }),
      this.#rules.on({ add: rulesChanged, update: rulesChanged, delete: rulesChanged }),
      this.#followClaims(),
      this.#followSlices(slices),
    ];
  }

  get taintRules(): readonly Readonly<resourcev1beta2.DeviceTaintRule>[] {
    this.#ruleList ??= this.#rules.list();
    return this.#ruleList;
  }

  deviceClass(name: string): DeviceClass | undefined {
    return this.#classes.get(undefined, name);
  }

  get classesVersion(): number {
    return this.#classesVersion;
  }

  classFor(resource: string): DeviceClass | undefined {
    this.#byResource ??= classesByResource(this.#classes.list());
    return this.#byResource.get(resource);
  }

  extendedClaim(pod: Pod): Claim | undefined {
    return ownedBy(this.#claims, pod.metadata.uid).find((claim) => isExtendedClaimOf(pod, claim));
  }

  claim(namespace: string, name: string): Claim | undefined {
    const claim = this.#claims.get(namespace, name);
    return claim && (this.#ahead.get(claim.metadata.uid) ?? claim);
  }

  pending({ metadata }: Claim): Allocation | undefined {
    return this.#pending.get(metadata.uid);
  }

  assume(claim: Claim, allocation: Allocation): void {
    this.#pending.set(claim.metadata.uid, allocation);
    this.#recount(claim);
  }

  forget(claim: Claim): void {
    if (!this.#pending.delete(claim.metadata.uid)) return;
    this.#recount(claim);
    this.#tell({ kind: "ClaimChanged", claim, isFreed: true });
  }

  keep(claim: Claim): void {
    this.#pending.delete(claim.metadata.uid);
    this.#recount(claim);
  }

  written(claim: Claim): void {
    this.#pending.delete(claim.metadata.uid);
    const seen = this.#seen(claim);
    if (seen && revisionOf(seen) < revisionOf(claim)) this.#ahead.set(claim.metadata.uid, claim);
    this.#recount(claim);
  }

  on(listener: (event: ClusterEvent) => void): void {
    this.#listeners.push(listener);
  }

  stop(): void {
    for (const end of this.#ends) end();
  }

  #tell(event: ClusterEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #seen({ metadata }: Claim): Claim | undefined {
    const seen = this.#claims.get(metadata.namespace, metadata.name);
    return seen?.metadata.uid === metadata.uid ? seen : undefined;
  }

  #recount(claim: Claim): void {
    const { uid } = claim.metadata;
    const known = this.#ahead.get(uid) ?? this.#seen(claim);
    const now = this.#pending.get(uid) ?? known?.status?.allocation;
    const before = this.#counted.get(uid);
    if (now === before) return;
    if (before) this.taken.count(before, -1);
    this.#counted.delete(uid);
    if (!now) return;
    this.taken.count(now, 1);
    this.#counted.set(uid, now);
  }

  #followClaims(): () => void {
    const changed = (claim: Claim, old: Claim | undefined) => {
      const { uid } = claim.metadata;
      const ahead = this.#ahead.get(uid);
      if (ahead && revisionOf(ahead) <= revisionOf(claim)) this.#ahead.delete(uid);
      this.#recount(claim);
      const isFreed = old?.status?.allocation !== undefined && claim.status?.allocation === undefined;
      this.#tell({ kind: "ClaimChanged", claim, isFreed });
    };
    return this.#claims.on({
      add: (claim) => changed(claim, undefined),
      update: changed,
      delete: (claim) => {
        this.#pending.delete(claim.metadata.uid);
        this.#ahead.delete(claim.metadata.uid);
        this.#recount(claim);
        this.#tell({ kind: "ClaimChanged", claim, isFreed: true });
      },
    });
  }

  #followSlices(slices: Informer<resourcev1.ResourceSlice>): () => void {
    const changed = () => this.#tell({ kind: "DevicesChanged" });
    return slices.on({
      add: (slice) => {
        this.pools.set(slice);
        changed();
      },
      update: (slice, old) => {
        this.pools.delete(old);
        this.pools.set(slice);
        changed();
      },
      delete: (slice) => {
        this.pools.delete(slice);
        changed();
      },
    });
  }
}

function revisionOf({ metadata }: Claim): number {
  return Number(metadata.resourceVersion);
}
