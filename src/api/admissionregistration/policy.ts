/** What validating and mutating admission policies, and their bindings, have in common. https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ */
import type { admissionregistrationv1 } from "../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, required } from "../meta/field-error.ts";
import { validateLabelSelector } from "../meta/label-selector.ts";
import { invalidEach } from "../validation/checks.ts";
import { dns1035LabelErrors, dnsSubdomainErrors } from "../validation/names.ts";
import { validatePolicyChoice } from "./rules.ts";

const notFoundActions = ["Deny", "Allow"];

export function validateParamKind(
  kind: Readonly<admissionregistrationv1.ParamKind> | undefined,
  at: string,
): FieldError[] {
  if (!kind) return [];
  const errors: FieldError[] = [];
  if (!kind.apiVersion) errors.push(required(`${at}.apiVersion`));
  else if (kind.apiVersion.split("/").length > 2)
    errors.push(
      invalid(`${at}.apiVersion`, kind.apiVersion, `unexpected GroupVersion string: ${kind.apiVersion}`),
    );
  if (!kind.kind) errors.push(required(`${at}.kind`));
  else if (dns1035LabelErrors(kind.kind.toLowerCase()).length > 0) {
    const why = `may have mixed case, but should otherwise match: ${dns1035LabelErrors(kind.kind.toLowerCase()).join(",")}`;
    errors.push(invalid(`${at}.kind`, kind.kind, why));
  }
  return errors;
}

export function validateParamRef(
  ref: Readonly<admissionregistrationv1.ParamRef> | undefined,
  at: string,
): FieldError[] {
  if (!ref) return [];
  const errors: FieldError[] = [];
  const { name = "", selector, parameterNotFoundAction } = ref;
  if (name !== "" && selector !== undefined)
    errors.push(forbiddenField(`${at}.name`, "name and selector are mutually exclusive"));
  else if (name !== "") errors.push(...invalidEach(`${at}.name`, name, dnsSubdomainErrors(name)));
  else if (selector !== undefined) errors.push(...validateLabelSelector(selector, `${at}.selector`));
  else errors.push(required(at, "one of name or selector must be specified"));
  if (parameterNotFoundAction === undefined) errors.push(required(`${at}.parameterNotFoundAction`));
  else
    errors.push(
      ...validatePolicyChoice(parameterNotFoundAction, `${at}.parameterNotFoundAction`, notFoundActions),
    );
  return errors;
}

export function validatePolicyName(name: string | undefined, at: string): FieldError[] {
  return name ? invalidEach(at, name, dnsSubdomainErrors(name)) : [required(at)];
}
