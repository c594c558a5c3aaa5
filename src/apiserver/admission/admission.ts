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

export class Admission {
  readonly #steps: readonly AdmissionStep[];

  constructor(steps: readonly AdmissionStep[]) {
    this.#steps = steps;
  }

  async prepare(attributes: Attributes): Promise<void> {
    for (const step of this.#steps) await step.prepare?.(attributes);
  }

  mutate(attributes: Attributes): void {
    for (const step of this.#steps) step.mutate?.(attributes);
  }

  /** Undefined where nobody outside is asked: then nothing is awaited. */
  admit(attributes: Attributes): Promise<boolean> | undefined {
    for (const [i, step] of this.#steps.entries()) {
      const pending = step.admit?.(attributes);
      if (pending) return this.#admitRest(pending, i + 1, attributes);
    }
    return undefined;
  }

  async #admitRest(first: Promise<boolean>, from: number, attributes: Attributes): Promise<boolean> {
    let isChanged = await first;
    for (const step of this.#steps.slice(from)) isChanged = (await step.admit?.(attributes)) || isChanged;
    return isChanged;
  }

  reserve(attributes: Attributes): void {
    for (const step of this.#steps) step.reserve?.(attributes);
  }

  /** As `admit`, once nothing changes the object any more. */
  review(attributes: Attributes): Promise<unknown> | undefined {
    const pending = this.#steps.flatMap((step) => step.review?.(attributes) ?? []);
    return pending.length > 0 ? Promise.all(pending) : undefined;
  }

  charge(attributes: Attributes): Promise<unknown> | undefined {
    const pending = this.#steps.flatMap((step) => step.charge?.(attributes) ?? []);
    return pending.length > 0 ? Promise.all(pending) : undefined;
  }

  validate(attributes: Attributes): void {
    for (const step of this.#steps) step.validate?.(attributes);
  }

  settled(attributes: Attributes): void {
    for (const step of this.#steps) step.settled?.(attributes);
  }
}
