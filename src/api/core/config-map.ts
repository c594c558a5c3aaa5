/** ConfigMap. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/config-map-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, invalid, tooLong } from "../meta/field-error.ts";
import { configKeyErrors } from "../validation/names.ts";

export const configBytesMax = 1024 * 1024;
const immutableDetail = "field is immutable when `immutable` is set";

function validateConfigMap(map: Readonly<corev1.ConfigMap>): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(map.data ?? {})) {
    for (const e of configKeyErrors(key)) errors.push(invalid(`data[${key}]`, key, e));
    if (Object.hasOwn(map.binaryData ?? {}, key)) {
      errors.push(invalid(`data[${key}]`, key, "duplicate of key present in binaryData"));
    }
    bytes += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(map.binaryData ?? {})) {
    for (const e of configKeyErrors(key)) errors.push(invalid(`binaryData[${key}]`, key, e));
    bytes += Buffer.byteLength(value, "base64");
  }
  if (bytes > configBytesMax) errors.push(tooLong("", configBytesMax));
  return errors;
}

function validateConfigMapUpdate(
  map: Readonly<corev1.ConfigMap>,
  old: Readonly<corev1.ConfigMap>,
): FieldError[] {
  const errors: FieldError[] = [];
  if (old.immutable) {
    if (!map.immutable) errors.push(forbiddenField("immutable", immutableDetail));
    for (const field of ["data", "binaryData"] as const) {
      if (!sameEntries(map[field], old[field])) errors.push(forbiddenField(field, immutableDetail));
    }
  }
  return [...errors, ...validateConfigMap(map)];
}

/** Whether two maps of strings say the same; absent is empty. */
export function sameEntries(
  a: Readonly<Record<string, string>> = {},
  b: Readonly<Record<string, string>> = {},
): boolean {
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key])
  );
}

export const configMaps = defineResource<corev1.ConfigMap>({
  group: "",
  version: "v1",
  resource: "configmaps",
  kind: "ConfigMap",
  typeName: "io.k8s.api.core.v1.ConfigMap",
  namespaced: true,
  shortNames: ["cm"],
  validate: validateConfigMap,
  validateUpdate: validateConfigMapUpdate,
  columns: [
    nameColumn(),
    column("Data", "string", "How many keys it holds.", (m) =>
      String(Object.keys(m.data ?? {}).length + Object.keys(m.binaryData ?? {}).length),
    ),
    ageColumn(),
  ],
});
