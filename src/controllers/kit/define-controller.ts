/**
 * The shape of every controller: an event enqueues a key, `observe` reads the caches, `decide` makes a plan from
 * state and time alone, `act` carries it out. Nothing is remembered between rounds that a restart must not lose.
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/controllers.md
 */
import type { KubernetesObject, ResourceType, rbacv1 } from "#api";
import type { World } from "#base";
import type { Client, EventRecorder, Informers } from "#client";

/** What a round came to. */
export type Outcome =
  | { kind: "done" }
  /** Look again after this time, if nothing happens before. */
  | { kind: "after"; ms: number }
  /** A passing fault: again, with growing delays. */
  | { kind: "retry"; why: string }
  /** Trying again is useless until something changes. */
  | { kind: "terminal"; why: string };

export const done: Outcome = { kind: "done" };

export function after(ms: number): Outcome {
  return { kind: "after", ms };
}

/** `after` that time, or `done` when there is none. */
export function afterIf(ms: number | undefined): Outcome {
  return ms === undefined ? done : after(Math.max(0, ms));
}

/** What the cluster's operator decides for all controllers. */
/** Hands out ranges of pod addresses, one node at a time. */
export interface NodeRanges {
  /** The node's range of old, or a free one once `write` has written it; undefined: all are taken. */
  give(
    nodeName: string,
    write: (spec: { podCIDR: string; podCIDRs: string[] }) => Promise<unknown>,
  ): Promise<string | undefined>;
}

export interface ControllerOptions {
  /** PEM of the certificate authority that pods are given. */
  rootCa?: string;
  /** PEM texts: signs certificates that are asked for through the API. Without, nobody here signs any. */
  authority?: { readonly cert: string; readonly key: string };
  /** The longest life of what it signs, as kube-controller-manager's `--cluster-signing-duration`; default: a year. */
  signingDurationMs?: number;
  /** How Services of type LoadBalancer come to addresses. */
  loadBalancer?: {
    /** Ports of the nodes' own programs: a Service that wants one of these gets an address of its own. */
    readonly reservedPorts: readonly number[];
    /** The same for the ports of Ingresses, from when there is one. */
    readonly ingressPorts: readonly number[];
    /** Addresses for Services whose ports are not free on the nodes, where no pool is given. */
    readonly fallback: string;
  };
  /** Absent: nodes bring their own. */
  nodeRanges?: NodeRanges;
}

/** What a controller is given. Its client remembers what it writes, so that no round starts from an older cache. */
export interface ControllerContext {
  readonly client: Client;
  readonly world: World;
  readonly informers: Informers;
  readonly events: EventRecorder;
  readonly options: ControllerOptions;
  /** Puts a key into the queue, for what no source tells of. */
  enqueue(key: string): void;
  /** Aborted when the controller is stopped. */
  readonly signal: AbortSignal;
  /** Observations of this process (when a lease was seen to change): gone after a restart. */
  readonly memory: Map<string, unknown>;
}

/** Objects whose changes enqueue keys; of an update, the keys of both the old and the new object. */
export interface Source {
  readonly type: ResourceType;
  keys(object: Readonly<KubernetesObject>, context: ControllerContext): Iterable<string>;
}

export function source<T extends KubernetesObject>(
  type: ResourceType<T>,
  keys: (object: Readonly<T>, context: ControllerContext) => Iterable<string>,
): Source {
  return { type, keys: keys as Source["keys"] };
}

export interface ControllerSpec<State, Plan> {
  /** As upstream names it: also the component of its events. */
  readonly name: string;
  /** Its objects' keys are the controller's keys. */
  readonly primary?: ResourceType;
  readonly secondaries?: readonly Source[];
  /** Enqueued once at the start: for controllers that look around from time to time. */
  readonly startKeys?: readonly string[];
  readonly concurrency: number;
  /** The RBAC rules it runs under. */
  readonly rules: readonly rbacv1.PolicyRule[];
  /** Adds the indexes that `observe` reads. */
  prepare?(context: ControllerContext): void;
  /** From caches only; undefined: there is nothing to do for this key. */
  observe(context: ControllerContext, key: string): State | undefined;
  /** Pure; undefined: everything is as it should be. */
  decide(state: Readonly<State>, nowMs: number): Plan | undefined;
  act(plan: Plan, context: ControllerContext, state: Readonly<State>): Promise<Outcome>;
}

/** A controller whose state and plan are its own business. */
export interface Controller {
  readonly name: string;
  readonly primary?: ResourceType;
  readonly secondaries: readonly Source[];
  readonly startKeys: readonly string[];
  readonly concurrency: number;
  readonly rules: readonly rbacv1.PolicyRule[];
  prepare(context: ControllerContext): void;
  /** One round for one key. */
  reconcile(context: ControllerContext, key: string): Promise<Outcome>;
}

export function defineController<State, Plan>(spec: ControllerSpec<State, Plan>): Controller {
  return {
    name: spec.name,
    ...(spec.primary ? { primary: spec.primary } : {}),
    secondaries: spec.secondaries ?? [],
    startKeys: spec.startKeys ?? [],
    concurrency: spec.concurrency,
    rules: spec.rules,
    prepare: (context) => spec.prepare?.(context),
    async reconcile(context, key) {
      const state = spec.observe(context, key);
      if (state === undefined) return done;
      const plan = spec.decide(state, context.world.clock.now());
      return plan === undefined ? done : spec.act(plan, context, state);
    },
  };
}

/** A rule of RBAC, short. */
export function rule(group: string, resources: string[], verbs: string[]): rbacv1.PolicyRule {
  return { apiGroups: [group], resources, verbs };
}

export const eventRules: readonly rbacv1.PolicyRule[] = [rule("", ["events"], ["create", "patch", "update"])];
export const readVerbs = ["get", "list", "watch"];
