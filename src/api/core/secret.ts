/** Secret. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, invalid, required, tooLong } from "../meta/field-error.ts";
import { configKeyErrors } from "../validation/names.ts";
import { configBytesMax, sameEntries } from "./config-map.ts";
import { serviceAccountTokenType } from "./service-account-tokens.ts";

type Secret = Readonly<corev1.Secret>;

const immutableDetail = "field is immutable when `immutable` is set";
const serviceAccountAnnotation = "kubernetes.io/service-account.name";

/** Keys that a type promises. */
const requiredKeys: ReadonlyMap<string, readonly string[]> = new Map([
  ["kubernetes.io/dockercfg", [".dockercfg"]],
  ["kubernetes.io/dockerconfigjson", [".dockerconfigjson"]],
  ["kubernetes.io/ssh-auth", ["ssh-privatekey"]],
  ["kubernetes.io/tls", ["tls.crt", "tls.key"]],
]);

function hasKey(secret: Secret, key: string): boolean {
  return Object.hasOwn(secret.data ?? {}, key);
}

function validateType(secret: Secret): FieldError[] {
  const errors: FieldError[] = [];
  for (const key of requiredKeys.get(secret.type ?? "") ?? []) {
    if (!hasKey(secret, key)) errors.push(required(`data[${key}]`));
    else if (key.startsWith(".docker") && !isJson(secret.data![key]!)) {
      errors.push(invalid(`data[${key}]`, "<secret contents redacted>", "invalid character"));
    }
  }
  if (
    secret.type === "kubernetes.io/basic-auth" &&
    !hasKey(secret, "username") &&
    !hasKey(secret, "password")
  ) {
    errors.push(required("data[username]"), required("data[password]"));
  }
  if (secret.type === serviceAccountTokenType && !secret.metadata.annotations?.[serviceAccountAnnotation]) {
    errors.push(required(`metadata.annotations[${serviceAccountAnnotation}]`));
  }
  return errors;
}

function isJson(base64: string): boolean {
  try {
    JSON.parse(Buffer.from(base64, "base64").toString());
    return true;
  } catch {
    return false;
  }
}

function validateSecret(secret: Secret): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    for (const e of configKeyErrors(key)) errors.push(invalid(`data[${key}]`, key, e));
    bytes += Buffer.byteLength(value, "base64");
  }
  if (bytes > configBytesMax) errors.push(tooLong("data", configBytesMax));
  return [...errors, ...validateType(secret)];
}

function validateSecretUpdate(secret: Secret, old: Secret): FieldError[] {
  const errors: FieldError[] = [];
  if ((secret.type ?? "") !== (old.type ?? ""))
    errors.push(invalid("type", secret.type ?? "", "field is immutable"));
  if (old.immutable) {
    if (!secret.immutable) errors.push(forbiddenField("immutable", immutableDetail));
    if (!sameEntries(secret.data, old.data)) errors.push(forbiddenField("data", immutableDetail));
  }
  return [...errors, ...validateSecret(secret)];
}

export const secrets = defineResource<corev1.Secret>({
  group: "",
  version: "v1",
  resource: "secrets",
  kind: "Secret",
  typeName: "io.k8s.api.core.v1.Secret",
  namespaced: true,
  defaults(secret) {
    secret.type ??= "Opaque";
    if (!secret.stringData) return;
    // Write-only: plain text that is kept as data.
    secret.data ??= {};
    for (const [key, value] of Object.entries(secret.stringData))
      secret.data[key] = Buffer.from(value).toString("base64");
    delete secret.stringData;
  },
  onUpdate(secret, old) {
    // A client that leaves the type out means the one it has.
    if (!secret.type) secret.type = old.type!;
  },
  validate: validateSecret,
  validateUpdate: validateSecretUpdate,
  selectableFields: { type: (secret) => secret.type ?? "" },
  columns: [
    nameColumn(),
    column("Type", "string", "Used to facilitate programmatic handling of secret data.", (s) => s.type ?? ""),
    column("Data", "string", "How many keys it holds.", (s) => String(Object.keys(s.data ?? {}).length)),
    ageColumn(),
  ],
});
