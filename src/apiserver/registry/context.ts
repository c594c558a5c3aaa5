/** What a request says beside its object, and what an answer is. */
import type { KubernetesObject, metav1, ResourceDefinition } from "#api";
import type { World } from "#base";
import type { Admission } from "../admission/admission.ts";
import type { CachedObject } from "../cache/cached-object.ts";
import type { User } from "../user.ts";
import type { Storage } from "./storage.ts";

/** Everything the verbs work with. */
export interface Registry {
  readonly world: World;
  readonly storage: Storage;
  readonly admission: Admission;
}

export interface Target {
  readonly definition: ResourceDefinition;
  readonly namespace: string | undefined;
  readonly name: string;
}

export interface WriteContext {
  readonly user: User;
  readonly dryRun: boolean;
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
