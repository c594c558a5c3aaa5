/** Everything that can be wrong with a CustomResourceDefinition, expressions in CEL aside: the API server compiles those. */
import { sameJson } from "../core/pod-spec/template.ts";
import type { apiextensionsv1 } from "../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooMany,
} from "../meta/field-error.ts";
import { dns1035LabelErrors, dnsSubdomainErrors } from "../validation/names.ts";
import { applyDefaults } from "./default.ts";
import { findPath } from "./field-path.ts";
import { prune } from "./prune.ts";
import { type JsonSchema, structuralParts } from "./schema.ts";
import { validateConversion } from "./validate-conversion.ts";
import { validateSchema } from "./validate-schema.ts";
import { validateStructural } from "./validate-structural.ts";
import { validateValue } from "./validate-value.ts";

type Definition = Readonly<apiextensionsv1.CustomResourceDefinition>;
type Spec = Readonly<apiextensionsv1.CustomResourceDefinitionSpec>;
type Version = Readonly<apiextensionsv1.CustomResourceDefinitionVersion>;
type Names = Readonly<apiextensionsv1.CustomResourceDefinitionNames>;

const approval = "api-approved.kubernetes.io";
const selectableFieldsMax = 8;
const columnTypes = ["boolean", "date", "integer", "number", "string"];
const columnFormats = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

export function validateDefinition(definition: Definition): FieldError[] {
  const { spec, metadata } = definition;
  const errors = [...specErrors(spec), ...storedVersionErrors(definition), ...approvalErrors(definition)];
  if (metadata.name !== `${spec.names?.plural}.${spec.group}`)
    errors.unshift(invalid("metadata.name", metadata.name, 'must be spec.names.plural+"."+spec.group'));
  if (spec.preserveUnknownFields) {
    const detail =
      "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    errors.push(invalid("spec.preserveUnknownFields", true, detail));
  }
  return errors;
}

export function validateDefinitionUpdate(definition: Definition, old: Definition): FieldError[] {
  const errors = validateDefinition(definition);
  const keep = (field: string, value: unknown, before: unknown) => {
    if (!sameJson(value, before)) errors.push(invalid(field, value, "field is immutable"));
  };
  const isEstablished = old.status?.conditions?.some((c) => c.type === "Established" && c.status === "True");
  if (isEstablished) {
    keep("spec.scope", definition.spec.scope, old.spec.scope);
    keep("spec.names.kind", definition.spec.names.kind, old.spec.names.kind);
  }
  keep("spec.group", definition.spec.group, old.spec.group);
  keep("spec.names.plural", definition.spec.names.plural, old.spec.names.plural);
  return errors;
}

function storedVersionErrors({ spec, status }: Definition): FieldError[] {
  const field = "status.storedVersions";
  const stored = status?.storedVersions ?? [];
  if (stored.length === 0) return [invalid(field, stored, "must have at least one stored version")];
  const errors: FieldError[] = [];
  for (const { name, storage } of spec.versions ?? [])
    if (storage && !stored.includes(name))
      errors.push(invalid(field, stored, `must have the storage version ${name}`));
  for (const [i, name] of stored.entries()) {
    if (spec.versions?.some((version) => version.name === name)) continue;
    const detail = `missing from spec.versions; ${name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${name} and removes ${name} from status.storedVersions`;
    errors.push(invalid(`${field}[${i}]`, name, detail));
  }
  return errors;
}

export function isProtectedGroup(group: string): boolean {
  return /(^|\.)(k8s|kubernetes)\.io$/.test(group);
}

/** Upstream's way to say whether somebody may use one of its own groups. */
function approvalErrors({ spec, metadata }: Definition): FieldError[] {
  if (!isProtectedGroup(spec.group)) return [];
  const value = metadata.annotations?.[approval] ?? "";
  const field = `metadata.annotations[${approval}]`;
  const rule = `protected groups must have approval annotation "${approval}"`;
  const see = "see https://github.com/kubernetes/enhancements/pull/1111";
  if (!value) return [required(field, `${rule}, ${see}`)];
  if (value.startsWith("unapproved") || /^https?:\/\/[^/]+/.test(value)) return [];
  return [invalid(field, value, `${rule} with either a URL or a reason starting with "unapproved", ${see}`)];
}

function specErrors(spec: Spec): FieldError[] {
  const errors: FieldError[] = [];
  const { group, versions = [] } = spec;
  if (!group) errors.push(required("spec.group"));
  else if (dnsSubdomainErrors(group).length > 0)
    errors.push(invalid("spec.group", group, dnsSubdomainErrors(group).join(",")));
  else if (!group.includes("."))
    errors.push(invalid("spec.group", group, "should be a domain with at least one dot"));
  if (!spec.scope) errors.push(required("spec.scope"));
  else if (spec.scope !== "Cluster" && spec.scope !== "Namespaced")
    errors.push(notSupported("spec.scope", spec.scope, ["Cluster", "Namespaced"]));
  for (const [i, { schema, name }] of versions.entries()) {
    const at = `spec.versions[${i}]`;
    if (!schema?.openAPIV3Schema)
      errors.push(required(`${at}.schema.openAPIV3Schema`, "schemas are required"));
    if (dns1035LabelErrors(name).length > 0)
      errors.push(invalid(`${at}.name`, name, dns1035LabelErrors(name).join(",")));
  }
  errors.push(...versionErrors(versions));
  if (new Set(versions.map(({ name }) => name)).size < versions.length)
    errors.push(invalid("spec.versions", versions, "must contain unique version names"));
  if (versions.filter(({ storage }) => storage).length !== 1)
    errors.push(
      invalid("spec.versions", versions, "must have exactly one version marked as storage version"),
    );
  for (const name of ["plural", "singular", "kind", "listKind"] as const)
    if (!spec.names?.[name]) errors.push(required(`spec.names.${name}`));
  return [...errors, ...nameErrors(spec.names, "spec.names"), ...validateConversion(spec.conversion)];
}

/** What all versions have in common stands once for all of them, as upstream keeps and names it. */
function versionErrors(versions: readonly Version[]): FieldError[] {
  const common = (pick: (version: Version) => unknown) => {
    const first = versions[0] && pick(versions[0]);
    return first !== undefined && versions.every((version) => sameJson(pick(version), first));
  };
  const schemaIsCommon = common(({ schema }) => schema);
  const subresourcesAreCommon = common(({ subresources }) => subresources);
  const columnsAreCommon = common(({ additionalPrinterColumns }) => additionalPrinterColumns);
  const fieldsAreCommon = common(({ selectableFields }) => selectableFields);
  return versions.flatMap((version, i) => {
    const errors: FieldError[] = [];
    const at = `spec.versions[${i}]`;
    const skip = (isCommon: boolean) => isCommon && i > 0;
    errors.push(...deprecationErrors(version, at));
    if (!skip(schemaIsCommon))
      errors.push(...schemaErrors(version, schemaIsCommon ? "spec.validation" : `${at}.schema`));
    if (!skip(subresourcesAreCommon))
      errors.push(...scaleErrors(version, `${subresourcesAreCommon ? "spec" : at}.subresources.scale`));
    if (!skip(columnsAreCommon))
      errors.push(...columnErrors(version, `${columnsAreCommon ? "spec" : at}.additionalPrinterColumns`));
    if (!skip(fieldsAreCommon))
      errors.push(...selectableErrors(version, `${fieldsAreCommon ? "spec" : at}.selectableFields`));
    return errors;
  });
}

function deprecationErrors({ deprecated, deprecationWarning }: Version, at: string): FieldError[] {
  if (deprecationWarning === undefined) return [];
  const details: string[] = [];
  if (!deprecated) details.push("can only be set for deprecated versions");
  else {
    if (deprecationWarning.length > 256) details.push("must be <= 256 characters long");
    if (deprecationWarning === "") details.push("must not be an empty string");
    const index = deprecationWarning.search(/[^\P{C}]|[^\P{Z} ]/u);
    if (index >= 0)
      details.push(
        `must only contain printable UTF-8 characters; non-printable character found at index ${index}`,
      );
  }
  return details.map((detail) => invalid(`${at}.deprecationWarning`, deprecationWarning, detail));
}

const allowedAtRoot = [
  "Description",
  "Type",
  "Format",
  "Title",
  "Maximum",
  "ExclusiveMaximum",
  "Minimum",
  "ExclusiveMinimum",
  "MaxLength",
  "MinLength",
  "Pattern",
  "MaxItems",
  "MinItems",
  "UniqueItems",
  "MultipleOf",
  "Required",
  "Enum",
  "Items",
  "Properties",
  "ExternalDocs",
  "Example",
  "XPreserveUnknownFields",
  "XValidations",
];
const allowedKeys = new Set(
  allowedAtRoot.map((name) => {
    if (name === "XPreserveUnknownFields") return "x-kubernetes-preserve-unknown-fields";
    if (name === "XValidations") return "x-kubernetes-validations";
    return name[0]!.toLowerCase() + name.slice(1);
  }),
);

function schemaErrors({ schema, subresources }: Version, at: string): FieldError[] {
  const root = schema?.openAPIV3Schema;
  if (!root) return [];
  const path = `${at}.openAPIV3Schema`;
  const errors: FieldError[] = [];
  const other = Object.keys(root).find((name) => !allowedKeys.has(name));
  if (subresources?.status && root.type && root.type !== "object") {
    const detail =
      'only "object" is allowed as the type at the root of the schema if the status subresource is enabled';
    errors.push(invalid(`${path}.type`, root.type, detail));
  } else if (subresources?.status && other !== undefined) {
    const detail = `only [${allowedAtRoot.join(" ")}] fields are allowed at the root of the schema if the status subresource is enabled`;
    errors.push(invalid(path, root, detail));
  }
  if (root.nullable) errors.push(forbiddenField(`${path}.nullable`, "nullable cannot be true at the root"));
  const structural = validateStructural(root, path);
  const schemaIssues = validateSchema(root, path);
  if (structural.length === 0 && schemaIssues.length === 0) errors.push(...defaultErrors(root, path));
  return [...errors, ...structural, ...schemaIssues];
}

/** Defaults are values of their schema, and hold nothing that would be pruned. */
function defaultErrors(schema: Readonly<JsonSchema>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema.default !== undefined) {
    const at = `${path}.default`;
    const value = structuredClone({ value: schema.default });
    const holder: JsonSchema = { type: "object", properties: { value: schema } };
    const unknown = prune(value as Record<string, unknown>, { ...holder });
    if (unknown.length > 0) errors.push(invalid(at, schema.default, "must not have unknown fields"));
    applyDefaults(value.value, schema);
    errors.push(...validateValue(value.value, schema, at));
  }
  for (const each of structuralParts(schema, path)) errors.push(...defaultErrors(each.schema, each.path));
  return errors;
}

function scaleErrors({ subresources }: Version, at: string): FieldError[] {
  const scale = subresources?.scale;
  if (!scale) return [];
  return [
    ...scalePathErrors(scale.specReplicasPath, `${at}.specReplicasPath`, ".spec", true),
    ...scalePathErrors(scale.statusReplicasPath, `${at}.statusReplicasPath`, ".status", true),
    ...labelSelectorErrors(scale.labelSelectorPath, `${at}.labelSelectorPath`),
  ];
}

function labelSelectorErrors(path: string | undefined, field: string): FieldError[] {
  const errors = scalePathErrors(path, field, ".status", false);
  const isSpec = errors.length > 0 && scalePathErrors(path, field, ".spec", false).length === 0;
  if (isSpec || errors.length === 0) return [];
  return path?.startsWith(".")
    ? [invalid(field, path, "should be a json path under either .spec or .status")]
    : errors;
}

function scalePathErrors(
  path: string | undefined,
  field: string,
  under: string,
  isRequired: boolean,
): FieldError[] {
  if (!path) return isRequired ? [required(field)] : [];
  const errors = simplePathErrors(path, field);
  if (errors.length > 0 || path.startsWith(`${under}.`)) return errors;
  return [invalid(field, path, `should be a json path under ${under}`)];
}

function simplePathErrors(path: string, field: string): FieldError[] {
  if (!path.startsWith(".")) return [invalid(field, path, "must be a simple json path starting with .")];
  return [];
}

function columnErrors({ additionalPrinterColumns = [] }: Version, at: string): FieldError[] {
  return additionalPrinterColumns.flatMap((column, i) => {
    const errors: FieldError[] = [];
    const { name, type, format, jsonPath } = column;
    const here = `${at}[${i}]`;
    const types = `must be one of ${columnTypes.join(",")}`;
    if (!name) errors.push(required(`${here}.name`));
    if (!type) errors.push(required(`${here}.type`, types));
    else if (!columnTypes.includes(type)) errors.push(invalid(`${here}.type`, type, types));
    if (format && !columnFormats.includes(format))
      errors.push(invalid(`${here}.format`, format, `must be one of ${columnFormats.join(",")}`));
    if (!jsonPath) errors.push(required(`${here}.JSONPath`));
    else errors.push(...simplePathErrors(jsonPath, `${here}.JSONPath`));
    return errors;
  });
}

function selectableErrors({ selectableFields = [], schema }: Version, at: string): FieldError[] {
  const root = schema?.openAPIV3Schema;
  if (selectableFields.length === 0 || !root) return [];
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, { jsonPath }] of selectableFields.entries()) {
    const field = `${at}[${i}].jsonPath`;
    const found = jsonPath ? findPath(jsonPath, root) : undefined;
    if (found === undefined) errors.push(required(field));
    else if (typeof found === "string") errors.push(invalid(field, jsonPath, `is an invalid path: ${found}`));
    else {
      if (found.keys[0] === "metadata")
        errors.push(invalid(field, jsonPath, "must not point to fields in metadata"));
      if (!["string", "boolean", "integer"].includes(found.schema.type ?? "")) {
        const detail =
          "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
        errors.push(invalid(field, jsonPath, detail));
      }
      const path = found.keys.join("\0");
      if (seen.has(path)) errors.push(duplicate(field, jsonPath));
      seen.add(path);
    }
  }
  if (seen.size > selectableFieldsMax) errors.push(tooMany(at, seen.size, selectableFieldsMax));
  return errors;
}

export function nameErrors(names: Names | undefined, at: string): FieldError[] {
  if (!names) return [];
  const errors: FieldError[] = [];
  const mixed = "may have mixed case, but should otherwise match: ";
  const check = (value: string | undefined, field: string, isMixed = false) => {
    const wrong = value ? dns1035LabelErrors(isMixed ? value.toLowerCase() : value) : [];
    if (wrong.length > 0)
      errors.push(invalid(`${at}.${field}`, value, (isMixed ? mixed : "") + wrong.join(",")));
  };
  check(names.plural, "plural");
  check(names.singular, "singular");
  check(names.kind, "kind", true);
  check(names.listKind, "listKind", true);
  for (const [i, name] of (names.shortNames ?? []).entries()) check(name, `shortNames[${i}]`);
  if (names.kind && names.kind === names.listKind)
    errors.push(invalid(`${at}.listKind`, names.listKind, "kind and listKind may not be the same"));
  for (const [i, name] of (names.categories ?? []).entries()) check(name, `categories[${i}]`);
  return errors;
}
