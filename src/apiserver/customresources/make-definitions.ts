/** What a CustomResourceDefinition makes: a resource for each version that is served. */
import {
  type apiextensionsv1,
  apiVersionOf,
  applyDefaults,
  defineResource,
  type FieldGetter,
  type JsonSchema,
  type KubernetesObject,
  prune,
  type ResourceDefinition,
  type SubresourceDefinition,
  sameJson,
  type Verb,
} from "#api";
import type { CachedObject } from "../cache/cached-object.ts";
import { columnsOf } from "./columns.ts";
import type { Converter } from "./conversion.ts";
import type { CustomDefinition, CustomVersion } from "./custom-definition.ts";
import { parseJsonPath } from "./json-path.ts";
import { publishedSchema } from "./openapi.ts";
import type { Rules } from "./rules.ts";
import { scaleOfCustom } from "./scale.ts";
import { type Validator, validatorOf } from "./validation.ts";
import { VersionView } from "./version-view.ts";

type Definition = Readonly<apiextensionsv1.CustomResourceDefinition>;
type Version = Readonly<apiextensionsv1.CustomResourceDefinitionVersion>;

interface Resource extends KubernetesObject {
  status?: unknown;
}

/** Nothing new comes into what is going away. */
const verbsOfTerminating: readonly Verb[] = [
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

/** Where the objects of all versions are kept: nothing is asked of it but its name. */
export function storageOf({ spec }: Definition): ResourceDefinition {
  return defineResource({
    group: spec.group,
    version: spec.versions.find(({ storage }) => storage)?.name ?? "",
    resource: spec.names.plural,
    kind: spec.names.kind,
    namespaced: spec.scope === "Namespaced",
    typeName: "",
  });
}

export interface Parts {
  readonly storage: ResourceDefinition;
  readonly storedApiVersion: string;
  readonly converter: Converter;
  stored(): Iterable<CachedObject>;
  rulesOf(schema: Readonly<JsonSchema>): Rules;
}

export function makeDefinitions(definition: Definition, parts: Parts): CustomDefinition[] {
  return definition.spec.versions
    .filter(({ served }) => served)
    .map((version) => makeVersion(definition, version, parts));
}

function makeVersion(definition: Definition, version: Version, parts: Parts): CustomDefinition {
  const { spec, status, metadata } = definition;
  const { group } = spec;
  const names = status.acceptedNames?.kind ? status.acceptedNames : spec.names;
  const { kind } = names;
  const schema: JsonSchema = version.schema?.openAPIV3Schema ?? { type: "object" };
  const validator = validatorOf(schema, parts.rulesOf(schema));
  const base = defineResource<Resource>({
    group,
    version: version.name,
    resource: names.plural,
    kind,
    ...(names.listKind ? { listKind: names.listKind } : {}),
    singular: names.singular ?? kind.toLowerCase(),
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    namespaced: spec.scope === "Namespaced",
    typeName: `${group.split(".").reverse().join(".")}.${version.name}.${kind}`,
    ...(metadata.deletionTimestamp ? { verbs: verbsOfTerminating } : {}),
    subresources: subresourcesOf(version, kind),
    hasGeneration: true,
    plainFinalizers: true,
    selectableFields: selectableFieldsOf(version),
    columns: columnsOf(version.additionalPrinterColumns),
    ...strategyOf(version.subresources?.status !== undefined, validator),
  });
  const made = { ...base } as unknown as CustomDefinition & { custom: CustomVersion };
  made.custom = customVersionOf(made, definition, version, schema, parts);
  return made;
}

function customVersionOf(
  made: ResourceDefinition,
  { spec }: Definition,
  version: Version,
  schema: JsonSchema,
  { storage, storedApiVersion, converter, stored }: Parts,
): CustomVersion {
  const apiVersion = apiVersionOf(made);
  const view = new VersionView(made, apiVersion, schema, converter, stored);
  const warning = version.deprecationWarning ?? `${apiVersion} ${spec.names.kind} is deprecated`;
  return {
    storage,
    schema,
    isConverted: converter.isWebhook,
    view: (object) => view.of(object),
    written: (object) => view.written(object),
    async toStorage(object) {
      if (apiVersion === storedApiVersion) return object;
      const [converted] = await converter.convert([structuredClone(object)], storedApiVersion);
      return converted!;
    },
    decode(object) {
      const unknown = prune(object, schema);
      applyDefaults(object, schema);
      return { unknown };
    },
    scale: scaleOfCustom(version.subresources?.scale, made),
    openapi: (dialect) => publishedSchema(made, schema, dialect),
    warning: version.deprecated ? warning : undefined,
  };
}

function subresourcesOf({ subresources }: Version, kind: string): Record<string, SubresourceDefinition> {
  const verbs = ["get", "patch", "update"];
  return {
    ...(subresources?.status ? { status: { kind, verbs } } : {}),
    ...(subresources?.scale ? { scale: { group: "autoscaling", version: "v1", kind: "Scale", verbs } } : {}),
  };
}

function selectableFieldsOf({ selectableFields = [] }: Version): Record<string, FieldGetter<Resource>> {
  return Object.fromEntries(
    selectableFields.map(({ jsonPath }) => {
      const find = parseJsonPath(jsonPath);
      const read = (object: Readonly<Resource>) => String(find(object)[0] ?? "");
      return [jsonPath.replace(/^\./, ""), read];
    }),
  );
}

function strategyOf(
  hasStatus: boolean,
  validator: Validator,
): Pick<
  ResourceDefinition<Resource>,
  "onCreate" | "onUpdate" | "onStatusUpdate" | "validate" | "validateUpdate" | "validateStatusUpdate"
> {
  return {
    onCreate(object) {
      if (hasStatus) delete object.status;
    },
    onUpdate(object, old) {
      if (hasStatus) {
        if (old.status === undefined) delete object.status;
        else object.status = structuredClone(old.status);
      } else if (!sameJson(object.status, old.status)) {
        // Without the subresource a status is a field like any other.
        object.metadata.generation = (old.metadata.generation ?? 0) + 1;
      }
    },
    onStatusUpdate(object, old) {
      const { status, metadata } = object;
      for (const key of Object.keys(object)) delete (object as unknown as Record<string, unknown>)[key];
      const { managedFields } = metadata;
      const kept = { ...old.metadata, ...(managedFields ? { managedFields } : {}) };
      Object.assign(object, structuredClone(old), { metadata: kept });
      if (status === undefined) delete object.status;
      else object.status = status;
    },
    validate: validator.validate,
    validateUpdate: validator.validateUpdate,
    validateStatusUpdate: validator.validateStatusUpdate,
  };
}
