/**
 * Which webhooks and policies a request concerns.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
 */
import {
  type admissionregistrationv1,
  isEmptySelector,
  type KubernetesObject,
  type metav1,
  namespaces,
  type ResourceDefinition,
  selectorMatches,
} from "#api";
import type { Attributes } from "../admission/admission.ts";
import type { Storage } from "../registry/storage.ts";

type Rule = Readonly<admissionregistrationv1.NamedRuleWithOperations>;

export interface Matchable {
  matchPolicy?: "Exact" | "Equivalent";
  namespaceSelector?: metav1.LabelSelector;
  objectSelector?: metav1.LabelSelector;
  rules?: readonly Rule[];
  excludeRules?: readonly Rule[];
}

const admissionGroup = "admissionregistration.k8s.io";

/** What could lock everybody out of the cluster is never asked about. */
export function isExempt({ definition }: Attributes): boolean {
  return definition.group === admissionGroup;
}

/** The version in which the webhook is to see the request; undefined: it is none of its business. */
export function matchedVersion(
  storage: Storage,
  hook: Readonly<Matchable>,
  attributes: Attributes,
  versionsOf: (definition: ResourceDefinition) => readonly ResourceDefinition[],
): ResourceDefinition | undefined {
  const requested = attributes.requested ?? attributes.definition;
  if (!selectsNamespace(storage, hook.namespaceSelector, attributes)) return undefined;
  if (!selectsObject(hook.objectSelector, attributes)) return undefined;
  const candidates =
    hook.matchPolicy === "Exact"
      ? [requested]
      : [requested, ...versionsOf(requested).filter((each) => each !== requested)];
  const names = (rules: readonly Rule[] | undefined) =>
    candidates.find((version) => rules?.some((rule) => isRuleFor(rule, version, attributes)));
  if (names(hook.excludeRules)) return undefined;
  return names(hook.rules);
}

const has = (list: readonly string[] | undefined, wanted: string): boolean =>
  list !== undefined && (list.includes("*") || list.includes(wanted));

function isRuleFor(rule: Rule, version: ResourceDefinition, attributes: Attributes): boolean {
  return (
    has(rule.operations, attributes.operation) &&
    has(rule.apiGroups, version.group) &&
    has(rule.apiVersions, version.version) &&
    isInScope(rule.scope, attributes) &&
    namesResource(rule.resources ?? [], version.resource, attributes.subresource) &&
    (!rule.resourceNames?.length || rule.resourceNames.includes(attributes.name))
  );
}

/** A namespace itself belongs to the cluster. */
function isInScope(scope: string | undefined, { namespace, definition }: Attributes): boolean {
  if (scope === undefined || scope === "*") return true;
  const isNamespaced = Boolean(namespace) && definition !== (namespaces as ResourceDefinition);
  return (scope === "Namespaced") === isNamespaced;
}

function namesResource(resources: readonly string[], resource: string, subresource: string): boolean {
  return resources.some((each) => {
    const [wanted = "", wantedSub = ""] = each.split("/");
    if (wanted !== "*" && wanted !== resource) return false;
    return wantedSub === "*" || wantedSub === subresource;
  });
}

/** By the labels of the namespace the object is in, or of the namespace that it is. */
function selectsNamespace(
  storage: Storage,
  selector: metav1.LabelSelector | undefined,
  { definition, namespace, name, object, old }: Attributes,
): boolean {
  if (isEmptySelector(selector)) return true;
  if (definition === (namespaces as ResourceDefinition)) {
    const labels = (object ?? old ?? storage.find(definition, undefined, name)?.parse())?.metadata.labels;
    return selectorMatches(selector, labels ?? {});
  }
  // What stands in no namespace is always selected.
  if (!namespace) return true;
  const found = storage.find(namespaces as ResourceDefinition, undefined, namespace);
  return selectorMatches(selector, found?.facts.labels ?? {});
}

function selectsObject(selector: metav1.LabelSelector | undefined, { object, old }: Attributes): boolean {
  if (isEmptySelector(selector)) return true;
  const matches = (each: Readonly<KubernetesObject> | undefined) =>
    each?.metadata !== undefined && selectorMatches(selector, each.metadata.labels ?? {});
  return matches(object) || matches(old);
}
