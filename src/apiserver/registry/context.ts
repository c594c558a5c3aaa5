/** What a request says beside its object, and what an answer is. */
import type { FieldError, KubernetesObject, metav1, ResourceDefinition } from "#api";
import type { World } from "#base";
import type { Admission } from "../admission/admission.ts";
import type { CachedObject } from "../cache/cached-object.ts";
import type { User } from "../user.ts";
import type { Storage } from "./storage.ts";

/** The header is bounded further, by its length. */
const warningsMax = 1000;

/** Everything the verbs work with. */
export interface Registry {
  readonly world: World;
  readonly storage: Storage;
  readonly admission: Admission;
}

export interface Target {
  /** The stored version: everything in the registry is of its shape. */
  readonly definition: ResourceDefinition;
  /** The version that the request names, where it is another one. */
  readonly requested?: ResourceDefinition;
  readonly namespace: string | undefined;
  readonly name: string;
}

export interface WriteContext {
  readonly user: User;
  readonly dryRun: boolean;
  /** Who writes, as `metadata.managedFields` names it; absent: the server itself. */
  readonly manager?: string;
  /** The object brings its owners along: an apply has made it. */
  readonly isApplied?: boolean;
  /** Collects what the client should be told of its write; absent: nobody listens. */
  readonly warnings?: string[];
}

/** Said of an object that is valid. */
export function warn(
  { warnings }: WriteContext,
  definition: ResourceDefinition,
  object: Readonly<KubernetesObject>,
  old: Readonly<KubernetesObject> | undefined,
): void {
  const said = warnings && definition.warnings?.(object, old);
  if (said && said.length > 0) warnings.push(...said.slice(0, warningsMax));
}

/** What only the requested version demands. */
export function requestErrors(
  { requested }: Target,
  object: Readonly<KubernetesObject>,
  old: Readonly<KubernetesObject> | undefined,
): FieldError[] {
  return requested?.storedAs?.validateRequest?.(object, old) ?? [];
}

/** Either stored bytes or an object of another kind. */
export type Outcome =
  | { code: number; stored: CachedObject }
  | { code: number; object: KubernetesObject | metav1.Status | Record<string, unknown> };

export function success(code: number, details?: metav1.StatusDetails): Outcome {
  const status = {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    ...(details ? { details } : {}),
  };
  return { code, object: status };
}
