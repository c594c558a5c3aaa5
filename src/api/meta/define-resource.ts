/** `defineResource`: fills in what most resources have in common, so that a file says only what is special. */

import { nameIsDnsSubdomain } from "../validation/names.ts";
import type { Column, ResourceDefinition, Verb } from "./definition.ts";
import type { KubernetesObject } from "./resource-type.ts";
import { ageOf } from "./time.ts";

const allVerbs: readonly Verb[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

/** Discovery's names for the methods that the `proxy` subresources pass on. */
export const proxyVerbs: readonly string[] = ["create", "delete", "get", "patch", "update"];

type Given<T extends KubernetesObject> = Partial<ResourceDefinition<T>> &
  Pick<ResourceDefinition<T>, "group" | "version" | "resource" | "kind" | "namespaced" | "typeName">;

interface WithStatus extends KubernetesObject {
  status?: unknown;
}

export function defineResource<T extends KubernetesObject>(given: Given<T>): ResourceDefinition<T> {
  const hasStatus = given.subresources !== undefined && "status" in given.subresources;
  const validate = given.validate ?? (() => []);
  return {
    singular: given.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    verbs: allVerbs,
    subresources: {},
    hasGeneration: false,
    validateName: nameIsDnsSubdomain,
    defaults: () => {},
    onCreate: (object) => {
      if (hasStatus) resetStatus(object);
    },
    onUpdate: (object, old) => {
      if (hasStatus) keepStatus(object, old);
    },
    onStatusUpdate: keepAllButStatus,
    validateUpdate: (object) => validate(object),
    validateStatusUpdate: () => [],
    selectableFields: {},
    columns: [nameColumn(), ageColumn()],
    ...given,
    validate,
  };
}

/** A client may not bring a status along: it starts empty. */
function resetStatus(object: WithStatus): void {
  object.status = {};
}

function keepStatus(object: WithStatus, old: Readonly<WithStatus>): void {
  object.status = old.status ?? {};
}

/** Everything but the status and the metadata stays as it was: labels and finalizers may come with a status. */
export function keepAllButStatus<T extends KubernetesObject>(object: T, old: Readonly<T>): void {
  const { metadata } = object;
  const status = (object as WithStatus).status ?? {};
  for (const key of Object.keys(object)) if (!(key in old)) delete (object as Record<string, unknown>)[key];
  Object.assign(object, old, { metadata, status });
}

/** For the kinds whose labels a status may not change. */
export function keepAllButStatusWithLabels<T extends KubernetesObject>(object: T, old: Readonly<T>): void {
  keepAllButStatus(object, old);
  if (old.metadata.labels) object.metadata.labels = old.metadata.labels;
  else delete object.metadata.labels;
}

const statusMetadata = [
  "deletionTimestamp",
  "generation",
  "labels",
  "annotations",
  "finalizers",
  "ownerReferences",
] as const;

/** For the newer kinds, where a status changes nothing beside it. */
export function keepAllButStatusWithMetadata<T extends KubernetesObject>(object: T, old: Readonly<T>): void {
  keepAllButStatus(object, old);
  const { metadata } = object;
  for (const name of statusMetadata) {
    if (old.metadata[name] === undefined) delete metadata[name];
    else Object.assign(metadata, { [name]: old.metadata[name] });
  }
}

const nameDescription =
  "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const ageDescription =
  "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

export function nameColumn<T extends KubernetesObject>(): Column<T> {
  return {
    name: "Name",
    type: "string",
    format: "name",
    description: nameDescription,
    priority: 0,
    cell: (object) => object.metadata.name,
  };
}

export function ageColumn<T extends KubernetesObject>(): Column<T> {
  return {
    name: "Age",
    type: "string",
    description: ageDescription,
    priority: 0,
    cell: (object, nowMs) => ageOf(object.metadata.creationTimestamp, nowMs),
  };
}

/** The second of the two columns that kinds without columns of their own have. */
export function createdAtColumn<T extends KubernetesObject>(): Column<T> {
  return {
    name: "Created At",
    type: "date",
    description: ageDescription,
    priority: 0,
    cell: (object) => object.metadata.creationTimestamp ?? "",
  };
}

/** Any other column. */
export function column<T extends KubernetesObject>(
  name: string,
  type: Column<T>["type"],
  description: string,
  cell: Column<T>["cell"],
  priority: 0 | 1 = 0,
): Column<T> {
  return { name, type, description, priority, cell };
}
