/** https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/networking/validation/validation.go (ValidateIngress) */
import type { corev1, networkingv1 } from "../generated/types/index.ts";
import { type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import { legacyIpErrors, parseAddress } from "../validation/addresses.ts";
import {
  dnsLabelErrors,
  dnsSubdomainErrors,
  pathSegmentErrors,
  portErrors,
  portNameErrors,
} from "../validation/names.ts";
import { wildcardSubdomainErrors } from "../validation/special-names.ts";

type Ingress = Readonly<networkingv1.Ingress>;
type Backend = Readonly<networkingv1.IngressBackend>;
type Rule = Readonly<networkingv1.IngressRule>;

const classAnnotation = "kubernetes.io/ingress.class";
const pathTypes = ["Exact", "ImplementationSpecific", "Prefix"];
const forbiddenSequences = ["//", "/./", "/../", "%2f", "%2F"];
const forbiddenEndings = ["/..", "/."];
const noIpAddress = "must be a DNS name, not an IP address";

/** What an older server let in stays as it is. */
interface Tolerated {
  readonly secretNames: boolean;
  readonly wildcardRules: boolean;
}

function hostErrors(host: string): string[] {
  return host.includes("*") ? wildcardSubdomainErrors(host) : dnsSubdomainErrors(host);
}

/** A kind in the same namespace that somebody else knows. */
function validateReference(ref: Readonly<corev1.TypedLocalObjectReference>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (ref.apiGroup !== undefined)
    for (const e of dnsSubdomainErrors(ref.apiGroup)) errors.push(invalid(`${at}.apiGroup`, ref.apiGroup, e));
  for (const key of ["kind", "name"] as const) {
    if (!ref[key]) errors.push(required(`${at}.${key}`));
    else for (const e of pathSegmentErrors(ref[key])) errors.push(invalid(`${at}.${key}`, ref[key], e));
  }
  return errors;
}

function validateServiceBackend(
  service: Readonly<networkingv1.IngressServiceBackend>,
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (!service.name) errors.push(required(`${at}.service.name`));
  else
    for (const e of dnsLabelErrors(service.name)) errors.push(invalid(`${at}.service.name`, service.name, e));
  const { name = "", number = 0 } = service.port ?? {};
  if (name !== "" && number !== 0) errors.push(invalid(at, "", "cannot set both port name & port number"));
  else if (name !== "") {
    for (const e of portNameErrors(name)) errors.push(invalid(`${at}.service.port.name`, name, e));
  } else if (number !== 0) {
    for (const e of portErrors(number)) errors.push(invalid(`${at}.service.port.number`, number, e));
  } else errors.push(required(at, "port name or number is required"));
  return errors;
}

function validateBackend(backend: Backend | undefined, at: string): FieldError[] {
  if (backend?.resource && backend.service)
    return [invalid(at, "", "cannot set both resource and service backends")];
  if (backend?.resource) return validateReference(backend.resource, `${at}.resource`);
  if (backend?.service) return validateServiceBackend(backend.service, at);
  return [invalid(at, "", "resource or service backend is required")];
}

function validatePath(path: Readonly<networkingv1.HTTPIngressPath>, at: string): FieldError[] {
  const { pathType, path: text = "" } = path;
  if (!pathType) return [required(`${at}.pathType`, "pathType must be specified")];
  const errors: FieldError[] = [];
  const fault = (detail: string) => errors.push(invalid(`${at}.path`, text, detail));
  if (pathType === "Exact" || pathType === "Prefix") {
    if (!text.startsWith("/")) fault("must be an absolute path");
    for (const sequence of forbiddenSequences)
      if (text.includes(sequence)) fault(`must not contain '${sequence}'`);
    for (const ending of forbiddenEndings) if (text.endsWith(ending)) fault(`cannot end with '${ending}'`);
  } else if (pathType === "ImplementationSpecific") {
    if (text !== "" && !text.startsWith("/")) fault("must be an absolute path");
  } else errors.push(notSupported(`${at}.pathType`, pathType, pathTypes));
  return [...errors, ...validateBackend(path.backend, `${at}.backend`)];
}

function validateRuleValue(rule: Rule, at: string): FieldError[] {
  if (!rule.http) return [];
  const paths = rule.http.paths ?? [];
  if (paths.length === 0) return [required(`${at}.http.paths`)];
  return paths.flatMap((path, i) => validatePath(path, `${at}.http.paths[${i}]`));
}

function validateRules(rules: readonly Rule[], tolerated: Tolerated): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, rule] of rules.entries()) {
    const at = `spec.rules[${i}]`;
    const host = rule.host ?? "";
    if (host !== "") {
      if (parseAddress(host)) errors.push(invalid(`${at}.host`, host, noIpAddress));
      for (const e of hostErrors(host)) errors.push(invalid(`${at}.host`, host, e));
    }
    if (!host.includes("*") || !tolerated.wildcardRules) errors.push(...validateRuleValue(rule, at));
  }
  return errors;
}

function validateTls(entries: readonly networkingv1.IngressTLS[], tolerated: Tolerated): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, { hosts = [], secretName = "" }] of entries.entries()) {
    const at = `spec.tls[${i}]`;
    for (const [j, host] of hosts.entries())
      for (const e of hostErrors(host)) errors.push(invalid(`${at}.hosts[${j}]`, host, e));
    if (secretName === "" || tolerated.secretNames) continue;
    for (const e of dnsSubdomainErrors(secretName)) errors.push(invalid(`${at}.secretName`, secretName, e));
  }
  return errors;
}

function validateSpec({ spec = {} }: Ingress, tolerated: Tolerated): FieldError[] {
  const { rules = [], defaultBackend, tls = [], ingressClassName } = spec;
  const errors: FieldError[] = [];
  if (rules.length === 0 && !defaultBackend)
    errors.push(invalid("spec", spec.rules ?? null, "either `defaultBackend` or `rules` must be specified"));
  if (defaultBackend) errors.push(...validateBackend(defaultBackend, "spec.defaultBackend"));
  errors.push(...validateRules(rules, tolerated), ...validateTls(tls, tolerated));
  if (ingressClassName !== undefined)
    for (const e of dnsSubdomainErrors(ingressClassName))
      errors.push(invalid("spec.ingressClassName", ingressClassName, e));
  return errors;
}

export function validateIngress(ingress: Ingress): FieldError[] {
  const errors = validateSpec(ingress, { secretNames: false, wildcardRules: false });
  const annotation = ingress.metadata.annotations?.[classAnnotation];
  const className = ingress.spec?.ingressClassName;
  if (annotation !== undefined && className !== undefined && annotation !== className) {
    const detail = "must match `ingressClassName` when both are specified";
    errors.push(invalid(`annotations.${classAnnotation}`, annotation, detail));
  }
  return errors;
}

export function validateIngressUpdate(ingress: Ingress, old: Ingress): FieldError[] {
  const { tls = [], rules = [] } = old.spec ?? {};
  return validateSpec(ingress, {
    secretNames: tls.some(({ secretName }) => secretName && dnsSubdomainErrors(secretName).length > 0),
    wildcardRules: rules.some((rule) => rule.host?.includes("*") && validateRuleValue(rule, "").length > 0),
  });
}

export function validateIngressStatus(ingress: Ingress, old: Ingress): FieldError[] {
  const errors: FieldError[] = [];
  const before = (old.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
  for (const [i, { ip, hostname }] of (ingress.status?.loadBalancer?.ingress ?? []).entries()) {
    const at = `status.loadBalancer.ingress[${i}]`;
    if (ip) for (const e of legacyIpErrors(ip, before)) errors.push(invalid(`${at}.ip`, ip, e));
    if (!hostname) continue;
    for (const e of dnsSubdomainErrors(hostname)) errors.push(invalid(`${at}.hostname`, hostname, e));
    if (parseAddress(hostname)) errors.push(invalid(`${at}.hostname`, hostname, noIpAddress));
  }
  return errors;
}

/** https://kubernetes.io/docs/concepts/services-networking/ingress/#deprecated-annotation */
export function ingressWarnings({ metadata, spec }: Ingress, old: Ingress | undefined): string[] {
  if (old || spec?.ingressClassName !== undefined) return [];
  if (metadata.annotations?.[classAnnotation] === undefined) return [];
  return [`annotation "${classAnnotation}" is deprecated, please use 'spec.ingressClassName' instead`];
}
