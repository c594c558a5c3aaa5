/**
 * LimitRanges: what containers get that ask for nothing, and the least and most that containers, pods and claims may have.
 * https://kubernetes.io/docs/concepts/policy/limit-range/
 */
import {
  compareQuantities,
  type corev1,
  forbidden,
  type KubernetesObject,
  limitRanges,
  persistentVolumeClaims,
  podAmounts,
  pods,
  quantityMilliValue,
  type ResourceDefinition,
} from "#api";
import type { Storage } from "../registry/storage.ts";
import { Configured } from "../webhooks/configured.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";

type LimitRange = Readonly<corev1.LimitRange>;
type Item = Readonly<corev1.LimitRangeItem>;
type Amounts = Readonly<Record<string, string | number>>;

const annotation = "kubernetes.io/limit-ranger";

export function limitRanger(storage: Storage): AdmissionStep {
  const ranges = new Configured(storage, limitRanges);
  const inNamespace = ({ namespace }: Attributes) =>
    ranges.all.length === 0 ? [] : ranges.all.filter((range) => range.metadata.namespace === namespace);
  return {
    name: "LimitRanger",
    mutate(attributes) {
      const pod = podOf(attributes);
      if (!pod || attributes.operation !== "CREATE") return;
      for (const range of inNamespace(attributes)) giveDefaults(pod, range);
    },
    validate(attributes) {
      const { object, definition, name } = attributes;
      if (!object || !isConcerned(attributes)) return;
      for (const range of inNamespace(attributes)) {
        const errors = (range.spec?.limits ?? []).flatMap((item) => violations(item, definition, object));
        if (errors.length > 0) throw forbidden(definition, name, joined(errors));
      }
    },
  };
}

/** Pods when they are made and when they are resized; claims whenever they are written. */
function isConcerned(attributes: Attributes): boolean {
  const { definition, subresource, operation } = attributes;
  if (definition === (persistentVolumeClaims as ResourceDefinition)) return subresource === "";
  const isPod = definition === (pods as ResourceDefinition);
  return isPod && (operation === "CREATE" ? subresource === "" : subresource === "resize");
}

function podOf({ definition, subresource, object }: Attributes): corev1.Pod | undefined {
  return definition === (pods as ResourceDefinition) && subresource === "" && object
    ? (object as corev1.Pod)
    : undefined;
}

/** As Go prints a list of errors. */
function joined(errors: readonly string[]): string {
  return errors.length === 1 ? errors[0]! : `[${errors.join(", ")}]`;
}

function giveDefaults(pod: corev1.Pod, range: LimitRange): void {
  const items = (range.spec?.limits ?? []).filter((item) => item.type === "Container");
  const requests = Object.assign({}, ...items.map((item) => item.defaultRequest ?? {})) as Amounts;
  const limits = Object.assign({}, ...items.map((item) => item.default ?? {})) as Amounts;
  const said = [
    ...pod.spec.containers.flatMap((container) => complete(container, "container", requests, limits)),
    ...(pod.spec.initContainers ?? []).flatMap((container) =>
      complete(container, "init container", requests, limits),
    ),
  ];
  if (said.length === 0) return;
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    [annotation]: `LimitRanger plugin set: ${said.join("; ")}`,
  };
}

function complete(container: corev1.Container, what: string, requests: Amounts, limits: Amounts): string[] {
  const given = { requests, limits };
  return (["requests", "limits"] as const).flatMap((which) => {
    const missing = Object.keys(given[which]).filter(
      (name) => container.resources?.[which]?.[name] === undefined,
    );
    if (missing.length === 0) return [];
    container.resources ??= {};
    const filled = Object.fromEntries(missing.map((name) => [name, given[which][name]!]));
    container.resources[which] = { ...container.resources[which], ...filled } as Record<string, string>;
    return [`${missing.sort().join(", ")} ${which.slice(0, -1)} for ${what} ${container.name}`];
  });
}

function violations(
  item: Item,
  definition: ResourceDefinition,
  object: Readonly<KubernetesObject>,
): string[] {
  if (definition === (persistentVolumeClaims as ResourceDefinition)) {
    if (item.type !== "PersistentVolumeClaim") return [];
    const claim = object as Readonly<corev1.PersistentVolumeClaim>;
    return checkRange(item, claim.spec?.resources?.requests ?? {}, undefined);
  }
  const pod = object as Readonly<corev1.Pod>;
  if (item.type === "Container") {
    const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
    return all.flatMap(({ resources }) => check(item, resources?.requests ?? {}, resources?.limits ?? {}));
  }
  return item.type === "Pod" ? check(item, podAmounts(pod, "requests"), podAmounts(pod, "limits")) : [];
}

function check(item: Item, requests: Amounts, limits: Amounts): string[] {
  return [...checkRange(item, requests, limits), ...checkRatio(item, requests, limits)];
}

/** `limits` is undefined where only requests exist (claims). */
function checkRange(
  { type, min = {}, max = {} }: Item,
  requests: Amounts,
  limits: Amounts | undefined,
): string[] {
  const errors: string[] = [];
  for (const [name, least] of Object.entries(min)) {
    const said = `minimum ${name} usage per ${type} is ${least}`;
    const request = requests[name];
    const limit = limits?.[name];
    if (request === undefined) errors.push(`${said}. No request is specified`);
    else if (compareQuantities(request, least) < 0) errors.push(`${said}, but request is ${request}`);
    if (limit !== undefined && compareQuantities(limit, least) < 0)
      errors.push(`${said}, but limit is ${limit}`);
  }
  for (const [name, most] of Object.entries(max)) {
    const said = `maximum ${name} usage per ${type} is ${most}`;
    const request = requests[name];
    const limit = limits?.[name];
    if (limits && limit === undefined) errors.push(`${said}. No limit is specified`);
    if (!limits && request === undefined) errors.push(`${said}. No request is specified`);
    if (limit !== undefined && compareQuantities(limit, most) > 0)
      errors.push(`${said}, but limit is ${limit}`);
    if (request !== undefined && compareQuantities(request, most) > 0)
      errors.push(`${said}, but request is ${request}`);
  }
  return errors;
}

function checkRatio({ type, maxLimitRequestRatio = {} }: Item, requests: Amounts, limits: Amounts): string[] {
  return Object.entries(maxLimitRequestRatio).flatMap(([name, most]) => {
    const said = `${name} max limit to request ratio per ${type} is ${most}`;
    const request = quantityMilliValue(requests[name]);
    const limit = quantityMilliValue(limits[name]);
    if (!request) return [`${said}, but no request is specified or request is 0`];
    if (!limit) return [`${said}, but no limit is specified or limit is 0`];
    const ratio = limit / request;
    return ratio * 1000 > quantityMilliValue(most)
      ? [`${said}, but provided ratio is ${ratio.toFixed(6)}`]
      : [];
  });
}
