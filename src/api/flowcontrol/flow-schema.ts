/** FlowSchema: whose requests go to which priority level. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/flow-schema-v1/ */
import { sameJson } from "../core/pod-spec/template.ts";
import type { flowcontrolv1 } from "../generated/types/index.ts";
import {
  ageColumn,
  column,
  defineResource,
  keepAllButStatusWithMetadata,
  nameColumn,
} from "../meta/define-resource.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../meta/field-error.ts";
import { invalidEach, requiredTexts, requiredWith } from "../validation/checks.ts";
import { dnsLabelErrors, dnsSubdomainErrors } from "../validation/names.ts";
import { mandatoryFlowSchemas } from "./defaults.ts";

type FlowSchema = Readonly<flowcontrolv1.FlowSchema>;

const precedenceMax = 10_000;
const methods = ["ByNamespace", "ByUser"];
const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

function validateFlowSchema(schema: FlowSchema): FieldError[] {
  const { spec, metadata } = schema;
  const errors = validateSpec(spec, metadata.name ?? "");
  const mandatory = mandatoryFlowSchemas.find((each) => each.name === metadata.name);
  if (mandatory && !sameJson(spec, mandatory.spec))
    errors.push(invalid("spec", spec, `spec of '${metadata.name}' must equal the fixed value`));
  return [...errors, ...validateConditions(schema.status?.conditions)];
}

function validateSpec(spec: Readonly<flowcontrolv1.FlowSchemaSpec>, name: string): FieldError[] {
  const { matchingPrecedence: precedence = 0, distinguisherMethod: method } = spec;
  const field = "spec.matchingPrecedence";
  const errors: FieldError[] = [];
  if (precedence <= 0) errors.push(invalid(field, precedence, "must be a positive value"));
  if (precedence > precedenceMax)
    errors.push(invalid(field, precedence, `must not be greater than ${precedenceMax}`));
  if (precedence === 1 && name !== "exempt") {
    const detail = "only the schema named 'exempt' may have matchingPrecedence 1";
    errors.push(invalid(field, precedence, detail));
  }
  if (method && !methods.includes(method.type))
    errors.push(notSupported("spec.distinguisherMethod.type", method, methods));
  const level = spec.priorityLevelConfiguration?.name;
  const levelField = "spec.priorityLevelConfiguration.name";
  if (level) errors.push(...invalidEach(levelField, level, dnsSubdomainErrors(level)));
  else errors.push(required(levelField, "must reference a priority level"));
  return [...errors, ...(spec.rules ?? []).flatMap((rule, i) => validateRule(rule, `spec.rules[${i}]`))];
}

function validateRule(rule: Readonly<flowcontrolv1.PolicyRulesWithSubjects>, at: string): FieldError[] {
  const { subjects = [], resourceRules = [], nonResourceRules = [] } = rule;
  const errors: FieldError[] = [];
  if (subjects.length === 0)
    errors.push(required(`${at}.subjects`, "subjects must contain at least one value"));
  errors.push(...subjects.flatMap((subject, i) => validateSubject(subject, `${at}.subjects[${i}]`)));
  if (resourceRules.length === 0 && nonResourceRules.length === 0) {
    const detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
    errors.push(required(at, detail));
  }
  return [
    ...errors,
    ...resourceRules.flatMap((each, i) => validateResources(each, `${at}.resourceRules[${i}]`)),
    ...nonResourceRules.flatMap((each, i) => validateUrls(each, `${at}.nonResourceRules[${i}]`)),
  ];
}

const subjectFields = { Group: "group", ServiceAccount: "serviceAccount", User: "user" } as const;

function validateSubject(subject: Readonly<flowcontrolv1.Subject>, at: string): FieldError[] {
  const kinds = Object.keys(subjectFields) as (keyof typeof subjectFields)[];
  const kind = kinds.find((each) => each === subject.kind);
  if (!kind) return [notSupported(`${at}.kind`, subject.kind ?? "", ["Group", "ServiceAccount", "User"])];
  const own = subjectFields[kind];
  const errors: FieldError[] = [];
  if (!subject[own])
    errors.push(required(`${at}.${own}`, `${own} is required when subject kind is '${kind}'`));
  else if (kind === "ServiceAccount")
    errors.push(...validateAccount(subject.serviceAccount!, `${at}.${own}`));
  else errors.push(...requiredTexts(subject[own], `${at}.${own}`, ["name"]));
  for (const other of ["ServiceAccount", "User", "Group"] as const) {
    const field = subjectFields[other];
    if (other === kind || subject[field] === undefined) continue;
    const detail = `${field} is forbidden when subject kind is not '${other}'`;
    errors.push(forbiddenField(`${at}.${field}`, detail));
  }
  return errors;
}

function validateAccount(account: Readonly<flowcontrolv1.ServiceAccountSubject>, at: string): FieldError[] {
  const { name, namespace } = account;
  return [
    ...(name === "*" ? [] : requiredWith(name, `${at}.name`, dnsSubdomainErrors)),
    ...(namespace
      ? invalidEach(`${at}.namespace`, namespace, dnsLabelErrors(namespace))
      : [required(`${at}.namespace`, "must specify namespace for service account")]),
  ];
}

/** `*` says it all, and stands alone. */
function aloneErrors(values: readonly string[], field: string, what: string): FieldError[] {
  if (values.length <= 1 || !values.includes("*")) return [];
  return [invalid(field, values, `if '*' is present, must not specify other ${what}`)];
}

function validateVerbs(given: readonly string[], field: string): FieldError[] {
  if (given.length === 0) return [required(field, "verbs must contain at least one value")];
  if (given.includes("*")) return aloneErrors(given, field, "verbs");
  return given.every((verb) => verbs.includes(verb)) ? [] : [notSupported(field, given, verbs)];
}

function validateResources(rule: Readonly<flowcontrolv1.ResourcePolicyRule>, at: string): FieldError[] {
  const { apiGroups = [], resources = [], namespaces = [] } = rule;
  const errors = validateVerbs(rule.verbs ?? [], `${at}.verbs`);
  if (apiGroups.length === 0)
    errors.push(required(`${at}.apiGroups`, "resource rules must supply at least one api group"));
  errors.push(...aloneErrors(apiGroups, `${at}.apiGroups`, "api groups"));
  if (resources.length === 0)
    errors.push(required(`${at}.resources`, "resource rules must supply at least one resource"));
  errors.push(...aloneErrors(resources, `${at}.resources`, "resources"));
  const field = `${at}.namespaces`;
  if (namespaces.length === 0 && !rule.clusterScope) {
    const detail = "resource rules that are not cluster scoped must supply at least one namespace";
    errors.push(required(field, detail));
  } else if (namespaces.includes("*")) errors.push(...aloneErrors(namespaces, field, "namespaces"));
  else {
    const intro = "each member of this list must be '*' or a DNS-1123 label; ";
    for (const [i, name] of namespaces.entries())
      errors.push(...dnsLabelErrors(name).map((e) => invalid(`${field}[${i}]`, name, intro + e)));
  }
  return errors;
}

function validateUrls(rule: Readonly<flowcontrolv1.NonResourcePolicyRule>, at: string): FieldError[] {
  const urls = rule.nonResourceURLs ?? [];
  const field = `${at}.nonResourceURLs`;
  const errors = validateVerbs(rule.verbs ?? [], `${at}.verbs`);
  if (urls.length === 0)
    return [...errors, required(field, "nonResourceURLs must contain at least one value")];
  if (urls.includes("*")) return [...errors, ...aloneErrors(urls, field, "non-resource URLs")];
  return [...errors, ...urls.flatMap((url, i) => invalidEach(`${field}[${i}]`, url, urlErrors(url)))];
}

/** At most the first thing that is wrong. */
function urlErrors(url: string): string[] {
  if (url === "") return ["must not be empty"];
  if (url === "/") return [];
  if (!url.startsWith("/")) return ["must start with slash"];
  if (url.includes(" ")) return ["must not contain white-space"];
  if (url.includes("//")) return ["must not contain double slash"];
  const star = url.indexOf("*");
  const isSuffix = star === url.length - 1 && url.endsWith("/*");
  return star < 0 || isSuffix ? [] : ["wildcard can only do suffix matching"];
}

/** Of both kinds of flow control. */
export function validateConditions(conditions: readonly { type?: string }[] | undefined): FieldError[] {
  const seen = new Set<string>();
  return (conditions ?? []).flatMap(({ type = "" }, i) => {
    const field = `status.conditions[${i}].type`;
    const errors = seen.has(type) ? [duplicate(field, type)] : [];
    seen.add(type);
    return type ? errors : [...errors, required(field, "must not be empty")];
  });
}

function danglingText({ status }: FlowSchema): string {
  return status?.conditions?.find((condition) => condition.type === "Dangling")?.status ?? "?";
}

export const flowSchemas = defineResource<flowcontrolv1.FlowSchema>({
  group: "flowcontrol.apiserver.k8s.io",
  version: "v1",
  resource: "flowschemas",
  kind: "FlowSchema",
  typeName: "io.k8s.api.flowcontrol.v1.FlowSchema",
  namespaced: false,
  hasGeneration: true,
  subresources: { status: { kind: "FlowSchema", verbs: ["get", "patch", "update"] } },
  defaults(schema) {
    schema.spec ??= {} as flowcontrolv1.FlowSchemaSpec;
    schema.spec.matchingPrecedence ||= 1000;
  },
  onStatusUpdate: keepAllButStatusWithMetadata,
  validate: validateFlowSchema,
  validateStatusUpdate: ({ status }) => validateConditions(status?.conditions),
  columns: [
    nameColumn(),
    column(
      "PriorityLevel",
      "string",
      "The priority level that its requests go to.",
      (s) => s.spec.priorityLevelConfiguration?.name ?? "",
    ),
    column(
      "MatchingPrecedence",
      "string",
      "Of several that match, the one with the lowest counts.",
      (s) => s.spec.matchingPrecedence ?? 0,
    ),
    column(
      "DistinguisherMethod",
      "string",
      "What makes two of its requests one flow.",
      (s) => s.spec.distinguisherMethod?.type ?? "<none>",
    ),
    ageColumn(),
    column(
      "MissingPL",
      "string",
      "references a broken or non-existent PriorityLevelConfiguration",
      danglingText,
    ),
  ],
});
