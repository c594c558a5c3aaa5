/**
 * Looks for devices that satisfy all claims of a pod on one node: every request is tried with every device that will do,
 * until all are satisfied; the first solution is taken. What several orders of the same devices come to is tried once.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/4381-dra-structured-parameters
 */
import type { Quantity, resourcev1beta2 } from "#api";
import type { NodeInfo } from "../node-info.ts";
import { AllocationError, type Candidate, candidatesOf } from "./candidates.ts";
import { capacityOf, consumptionOf } from "./capacity.ts";
import { type Claim, claimText } from "./claims.ts";
import { type Constraint, constraintOf } from "./constraints.ts";
import { Counters } from "./counters.ts";
import type { DevicePools } from "./pools.ts";
import { type Alternative, type Ask, askOf, type DeviceClass, devicesMax, suits } from "./requests.ts";
import { isTolerable } from "./taints.ts";
import type { TakenDevices } from "./taken-devices.ts";

export interface DeviceWorld {
  readonly pools: DevicePools;
  readonly taken: TakenDevices;
  readonly taintRules: readonly Readonly<resourcev1beta2.DeviceTaintRule>[];
  deviceClass(name: string): DeviceClass | undefined;
}

/** One device for one claim. */
export interface Given {
  readonly alternative: Alternative;
  readonly candidate: Candidate;
  /** Of a device that several may share. */
  readonly consumed: ReadonlyMap<string, Quantity> | undefined;
}

export interface Solution {
  readonly claim: Claim;
  readonly given: readonly Given[];
  /** Which alternative of each request it was. */
  readonly chosen: readonly Alternative[];
}

/** Steps that may still be taken: claims come from outside, and a search may be long. */
export interface SearchBudget {
  steps: number;
}

const timedOut = "timed out trying to allocate devices";

/** Undefined: there is no solution. Throws `AllocationError` for what is wrong with a claim, a class or a pool. */
export function findDevices(
  claims: readonly Claim[],
  node: NodeInfo,
  world: DeviceWorld,
  budget: SearchBudget,
): Solution[] | undefined {
  const pools = world.pools.reachedFrom(node);
  const candidates = candidatesOf(pools, node);
  const asks = claims.map((claim) => askOf(claim, (name) => world.deviceClass(name), pools, candidates));
  const search = new Search(asks, candidates, world, budget);
  const solution = search.run();
  if (!solution && pools.some(({ pool }) => pool.isInvalid))
    throw new AllocationError("invalid resource pools were encountered");
  return solution;
}

/** Where the search stands: the next device to be found. */
interface Place {
  claim: number;
  request: number;
  /** Undefined: it has not been chosen yet. */
  way: number | undefined;
  device: number;
  /** The first candidate to be tried. */
  from: number;
}

/** Nothing that follows can be solved with so many devices: others need not be tried. */
type Outcome = boolean | "tooMany";

class Search {
  readonly #asks: readonly Ask[];
  readonly #candidates: readonly Candidate[];
  readonly #world: DeviceWorld;
  readonly #budget: SearchBudget;
  readonly #constraints: readonly (readonly Constraint[])[];
  readonly #given: Given[][];
  readonly #chosen: Alternative[][];
  readonly #counters: Counters;
  /** Claims that take each device here. */
  readonly #taking = new Map<string, Set<number>>();
  readonly #sharing = new Map<string, Map<string, bigint>[]>();
  readonly #suits = new Map<Alternative, Map<Candidate, boolean>>();

  constructor(
    asks: readonly Ask[],
    candidates: readonly Candidate[],
    world: DeviceWorld,
    budget: SearchBudget,
  ) {
    this.#asks = asks;
    this.#candidates = candidates.filter(({ pool }) => !pool.isIncomplete && !pool.isInvalid);
    this.#world = world;
    this.#budget = budget;
    this.#counters = new Counters(world.taken);
    this.#given = asks.map(() => []);
    this.#chosen = asks.map(() => []);
    this.#constraints = asks.map(({ claim }) => constraintsOf(claim));
  }

  run(): Solution[] | undefined {
    if (this.#place({ claim: 0, request: 0, way: undefined, device: 0, from: 0 }) !== true) return undefined;
    return this.#asks.map(({ claim }, i) => ({ claim, given: this.#given[i]!, chosen: this.#chosen[i]! }));
  }

  #place(at: Place): Outcome {
    if (--this.#budget.steps < 0) throw new AllocationError(timedOut);
    const ask = this.#asks[at.claim];
    if (!ask) return true;
    const ways = ask.requests[at.request];
    if (!ways) {
      const rest = this.#place({ claim: at.claim + 1, request: 0, way: undefined, device: 0, from: 0 });
      return rest === "tooMany" ? false : rest;
    }
    if (at.way === undefined) return this.#anyWay(at, ways);
    const alternative = ways[at.way]!;
    if (alternative.all?.length === 0) return false;
    if (at.device >= alternative.count)
      return this.#place({ claim: at.claim, request: at.request + 1, way: undefined, device: 0, from: 0 });
    if (this.#given[at.claim]!.length + alternative.count - at.device > devicesMax) return "tooMany";
    return alternative.all
      ? this.#exactly(at, alternative, alternative.all[at.device]!)
      : this.#anyDevice(at, alternative);
  }

  #anyWay(at: Place, ways: readonly Alternative[]): Outcome {
    let allTooMany = true;
    for (const [way, alternative] of ways.entries()) {
      this.#chosen[at.claim]![at.request] = alternative;
      const outcome = this.#place({ ...at, way });
      if (outcome === true) return true;
      if (outcome === false) allTooMany = false;
    }
    return allTooMany ? "tooMany" : false;
  }

  #exactly(at: Place, alternative: Alternative, candidate: Candidate): Outcome {
    const given = this.#take(at.claim, alternative, candidate);
    if (!given) return false;
    const outcome = this.#place({ ...at, device: at.device + 1 });
    if (outcome !== true) this.#giveBack(at.claim, given);
    return outcome;
  }

  #anyDevice(at: Place, alternative: Alternative): Outcome {
    for (let i = at.from; i < this.#candidates.length; i++) {
      const candidate = this.#candidates[i]!;
      if (!this.#isUsable(at.claim, alternative, candidate)) continue;
      const given = this.#take(at.claim, alternative, candidate);
      if (!given) continue;
      const outcome = this.#place({ ...at, device: at.device + 1, from: i + 1 });
      if (outcome === true) return true;
      this.#giveBack(at.claim, given);
      if (outcome === "tooMany") return outcome;
    }
    return false;
  }

  /** Not in use, and selected: what does not depend on the others that are taken beside it. */
  #isUsable(claim: number, alternative: Alternative, candidate: Candidate): boolean {
    if (this.#isInUse(claim, alternative, candidate)) return false;
    const known = this.#suits.get(alternative) ?? new Map<Candidate, boolean>();
    let verdict = known.get(candidate);
    if (verdict === undefined) {
      verdict = suits(candidate, alternative);
      known.set(candidate, verdict);
      this.#suits.set(alternative, known);
    }
    return verdict;
  }

  #isInUse(claim: number, { wanted }: Alternative, { id }: Candidate): boolean {
    const takers = this.#taking.get(id);
    if (wanted.adminAccess) return takers?.has(claim) ?? false;
    return this.#world.taken.isTaken(id) || (takers?.size ?? 0) > 0;
  }

  #take(claim: number, alternative: Alternative, candidate: Candidate): Given | undefined {
    const { wanted, names } = alternative;
    const { id, pool, device, driver } = candidate;
    if (this.#isInUse(claim, alternative, candidate)) return undefined;
    if (!isTolerable(candidate, this.#world.taintRules, wanted.tolerations)) return undefined;
    const consumed = consumptionOf(wanted.capacity?.requests, device);
    if (!consumed || !this.#hasRoom(candidate, consumed)) return undefined;
    const added: Constraint[] = [];
    for (const constraint of this.#constraints[claim]!) {
      if (constraint.add(names, driver, device)) {
        added.push(constraint);
        continue;
      }
      for (const each of added) each.remove(names);
      if (!alternative.all) return undefined;
      const why = `cannot add device ${id} because a claim constraint would not be satisfied`;
      throw new AllocationError(`claim ${alternative.claim}, request ${alternative.name}: ${why}`);
    }
    if (this.#consumesCounters(candidate) && !this.#counters.consume(pool, device)) {
      for (const each of added) each.remove(names);
      return undefined;
    }
    const isShared = device.allowMultipleAllocations ?? false;
    const given = { alternative, candidate, consumed: isShared ? consumed : undefined };
    this.#enter(claim, given);
    return given;
  }

  #enter(claim: number, given: Given): void {
    const { id } = given.candidate;
    this.#given[claim]!.push(given);
    if (given.consumed) {
      const shares = this.#sharing.get(id) ?? [];
      shares.push(new Map([...given.consumed].map(([name, { nanos }]) => [name, nanos])));
      this.#sharing.set(id, shares);
    } else {
      const takers = this.#taking.get(id) ?? new Set<number>();
      takers.add(claim);
      this.#taking.set(id, takers);
    }
  }

  #giveBack(claim: number, { alternative, candidate, consumed }: Given): void {
    const { id, pool, device } = candidate;
    this.#given[claim]!.pop();
    for (const constraint of this.#constraints[claim]!) constraint.remove(alternative.names);
    if (consumed) {
      const shares = this.#sharing.get(id);
      shares?.pop();
      if (shares?.length === 0) this.#sharing.delete(id);
    } else this.#taking.get(id)?.delete(claim);
    if (this.#consumesCounters(candidate)) this.#counters.giveBack(pool, device);
  }

  /** The first share of a device pays for it. */
  #consumesCounters({ id, device }: Candidate): boolean {
    if (!device.consumesCounters?.length) return false;
    return !(device.allowMultipleAllocations && (this.#world.taken.isShared(id) || this.#sharing.has(id)));
  }

  /** Whether so much is left of a device's capacity beside what others have. */
  #hasRoom({ id, device }: Candidate, consumed: ReadonlyMap<string, Quantity>): boolean {
    for (const [name, { nanos }] of consumed) {
      const all = capacityOf(device, name);
      const others = this.#sharing.get(id)?.reduce((sum, each) => sum + (each.get(name) ?? 0n), 0n) ?? 0n;
      if (this.#world.taken.consumed(id, name) + others + nanos > all) return false;
    }
    return true;
  }
}

function constraintsOf(claim: Claim): Constraint[] {
  return (claim.spec.devices?.constraints ?? []).map((wanted, i) => {
    const constraint = constraintOf(wanted);
    if (constraint) return constraint;
    const why = "empty constraint (unsupported constraint type?)";
    throw new AllocationError(`claim ${claimText(claim)}, constraint #${i}: ${why}`);
  });
}
