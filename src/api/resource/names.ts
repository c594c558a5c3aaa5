/** Names in dynamic resource allocation. https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/ */
import { type FieldError, invalid, required, tooLong } from "../meta/field-error.ts";
import { dnsLabelErrors, dnsSubdomainErrors, qualifiedNameErrors } from "../validation/names.ts";
import { cIdentifierErrors, driverNameErrors } from "../validation/special-names.ts";

const identifierMaxLength = 32;
const poolNameMaxLength = 253;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function validateLabelName(name: string | undefined, field: string): FieldError[] {
  return dnsLabelErrors(name ?? "").map((e) => invalid(field, name ?? "", e));
}

export function validateSubdomain(name: string | undefined, field: string): FieldError[] {
  return dnsSubdomainErrors(name ?? "").map((e) => invalid(field, name ?? "", e));
}

/** Keys of taints, types of conditions. */
export function validateQualifiedKey(key: string | undefined, field: string): FieldError[] {
  return qualifiedNameErrors(key ?? "").map((e) => invalid(field, key ?? "", e));
}

/** Subdomains, joined by slashes. */
export function validatePoolName(name: string | undefined, field: string): FieldError[] {
  if (!name) return [required(field)];
  const errors = name.length > poolNameMaxLength ? [tooLong(field, poolNameMaxLength)] : [];
  const parts = name.length > 2 * poolNameMaxLength ? [name] : name.split("/");
  return [...errors, ...parts.flatMap((part) => validateSubdomain(part, field))];
}

function validateIdentifier(id: string, field: string): FieldError[] {
  return [
    ...(id.length > identifierMaxLength ? [tooLong(field, identifierMaxLength)] : []),
    ...cIdentifierErrors(id).map((e) => invalid(field, id, e)),
  ];
}

/** `model` of the driver itself, or `dra.example.com/model`: of attributes and capacities. */
export function validateAttributeName(name: string, field: string): FieldError[] {
  const parts = name.split("/");
  if (parts.length === 1) return validateIdentifier(name, field);
  if (parts.length > 2) return [invalid(field, name, "must not contain more than one slash")];
  const [domain = "", id = ""] = parts;
  return [
    ...(domain === ""
      ? [invalid(field, "", "the domain must not be empty")]
      : driverNameErrors(field, domain)),
    ...(id === "" ? [invalid(field, "", "the name must not be empty")] : validateIdentifier(id, field)),
  ];
}

export function validateFullAttributeName(name: string, field: string): FieldError[] {
  const errors = validateAttributeName(name, field);
  if (name.includes("/")) return errors;
  const rule = "a fully qualified name must be a domain and a name separated by a slash";
  return [...errors, invalid(field, name, rule)];
}

export function validateShareId(id: string | undefined, field: string): FieldError[] {
  if (id === undefined || uuid.test(id)) return [];
  const rule =
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";
  return [invalid(field, id, uuid.test(id.toLowerCase()) ? rule : `error validating uid: ${whyNoUuid(id)}`)];
}

/** As the parser of https://github.com/google/uuid says it. */
function whyNoUuid(id: string): string {
  return id.length === 36 ? "invalid UUID format" : `invalid UUID length: ${id.length}`;
}
