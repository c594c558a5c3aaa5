/**
 * Admission: steps in a visible order that complete or refuse an object before it is stored. Those of this process decide
 * from caches, at once: nothing is awaited between their decision and the write. Webhooks are asked before that.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
 */
import type { GroupVersionKind, KubernetesObject, ResourceDefinition } from "#api";
import type { User } from "../user.ts";

export interface Attributes {
  readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  /** The stored version: `object` and `old` are of its shape. */
  readonly definition: ResourceDefinition;
  /** The version that the request names, where it is another one. */
  readonly requested?: ResourceDefinition;
  readonly subresource: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly user: User;
  readonly dryRun: boolean;
  /** What the operation is about, where it is no object of the resource: `PodExecOptions` of a CONNECT. */
  readonly kind?: GroupVersionKind;
  /** The options of the request, as webhooks are shown them. */
  readonly options?: object;
  /** Collects what the client should be told; absent: nobody listens. */
  readonly warnings?: string[];
  /** Absent for a deletion. May be changed by `mutate` and `admit`. */
  readonly object: KubernetesObject | undefined;
  readonly old: Readonly<KubernetesObject> | undefined;
}

export interface AdmissionStep {
  readonly name: string;
  /** Waits, for a bounded time, for what others are about to bring; decides nothing. */
  prepare?(attributes: Attributes): Promise<void> | undefined;
  mutate?(attributes: Attributes): void;
  /** Asks others outside to complete the object; true: it has changed. Undefined where there is nobody to ask. */
  admit?(attributes: Attributes): Promise<boolean> | undefined;
  /** Takes for the object what only one can have; released by `settled` if it is not stored. */
  reserve?(attributes: Attributes): void;
  /** Asks others outside whether it may be so. Undefined where there is nobody to ask. */
  review?(attributes: Attributes): Promise<void> | undefined;
  /** Takes what is counted for the whole namespace. Undefined where nothing is counted. */
  charge?(attributes: Attributes): Promise<void> | undefined;
  validate?(attributes: Attributes): void;
  /** The request is over, stored or not: what was reserved for it is released. */
  settled?(attributes: Attributes): void;
}

type Hook = Exclude<keyof AdmissionStep, "name">;
/** A step that has this hook. */
type With<H extends Hook> = AdmissionStep & Required<Pick<AdmissionStep, H>>;

function having<H extends Hook>(steps: readonly AdmissionStep[], hook: H): readonly With<H>[] {
  return steps.filter((step): step is With<H> => step[hook] !== undefined);
}

/** Every write goes through: each hook knows who has it. */
export class Admission {
  readonly #prepare: readonly With<"prepare">[];
  readonly #mutate: readonly With<"mutate">[];
  readonly #admit: readonly With<"admit">[];
  readonly #reserve: readonly With<"reserve">[];
  readonly #review: readonly With<"review">[];
  readonly #charge: readonly With<"charge">[];
  readonly #validate: readonly With<"validate">[];
  readonly #settled: readonly With<"settled">[];

  constructor(steps: readonly AdmissionStep[]) {
    this.#prepare = having(steps, "prepare");
    this.#mutate = having(steps, "mutate");
    this.#admit = having(steps, "admit");
    this.#reserve = having(steps, "reserve");
    this.#review = having(steps, "review");
    this.#charge = having(steps, "charge");
    this.#validate = having(steps, "validate");
    this.#settled = having(steps, "settled");
  }

  async prepare(attributes: Attributes): Promise<void> {
    for (const step of this.#prepare) await step.prepare(attributes);
  }

  mutate(attributes: Attributes): void {
    for (const step of this.#mutate) step.mutate(attributes);
  }

  /** Undefined where nobody outside is asked: then nothing is awaited. */
  admit(attributes: Attributes): Promise<boolean> | undefined {
    for (const [i, step] of this.#admit.entries()) {
      const pending = step.admit(attributes);
      if (pending) return this.#admitRest(pending, i + 1, attributes);
    }
    return undefined;
  }

  async #admitRest(first: Promise<boolean>, from: number, attributes: Attributes): Promise<boolean> {
    let isChanged = await first;
    for (const step of this.#admit.slice(from)) isChanged = (await step.admit(attributes)) || isChanged;
    return isChanged;
  }

  reserve(attributes: Attributes): void {
    for (const step of this.#reserve) step.reserve(attributes);
  }

  /** As `admit`, once nothing changes the object any more. */
  review(attributes: Attributes): Promise<unknown> | undefined {
    return together(this.#review, (step) => step.review(attributes));
  }

  charge(attributes: Attributes): Promise<unknown> | undefined {
    return together(this.#charge, (step) => step.charge(attributes));
  }

  validate(attributes: Attributes): void {
    for (const step of this.#validate) step.validate(attributes);
  }

  settled(attributes: Attributes): void {
    for (const step of this.#settled) step.settled(attributes);
  }
}

function together<S>(
  steps: readonly S[],
  ask: (step: S) => Promise<void> | undefined,
): Promise<unknown> | undefined {
  const pending: Promise<void>[] = [];
  for (const step of steps) {
    const asked = ask(step);
    if (asked) pending.push(asked);
  }
  return pending.length > 0 ? Promise.all(pending) : undefined;
}
