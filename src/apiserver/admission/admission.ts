/**
 * Admission: steps in a visible order that complete or refuse an object before it is stored. All of them decide from
 * caches, at once: nothing is awaited between the decision and the write.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
 */
import type { KubernetesObject, ResourceDefinition } from "#api";
import type { User } from "../user.ts";

export interface Attributes {
  readonly operation: "CREATE" | "UPDATE" | "DELETE";
  /** The stored version: `object` and `old` are of its shape. */
  readonly definition: ResourceDefinition;
  /** The version that the request names, where it is another one. */
  readonly requested?: ResourceDefinition;
  readonly subresource: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly user: User;
  readonly dryRun: boolean;
  /** Absent for a deletion. May be changed by `mutate`. */
  readonly object: KubernetesObject | undefined;
  readonly old: Readonly<KubernetesObject> | undefined;
}

export interface AdmissionStep {
  readonly name: string;
  /** Waits, for a bounded time, for what others are about to bring; decides nothing. */
  prepare?(attributes: Attributes): Promise<void> | undefined;
  mutate?(attributes: Attributes): void;
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

  validate(attributes: Attributes): void {
    for (const step of this.#steps) step.validate?.(attributes);
  }

  settled(attributes: Attributes): void {
    for (const step of this.#steps) step.settled?.(attributes);
  }
}
