/** What of a Service concerns balancing from outside. https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer */
import type { corev1 } from "../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, notSupported } from "../meta/field-error.ts";
import { legacyCidrErrors } from "../validation/addresses.ts";
import { qualifiedNameErrors } from "../validation/names.ts";

type Service = Readonly<corev1.Service>;

const distributions = ["PreferClose", "PreferSameNode", "PreferSameZone"];
const onlyBalancers = "may only be used when `type` is 'LoadBalancer'";

export function validateLoadBalancing({ spec }: Service, old?: Service): FieldError[] {
  const errors: FieldError[] = [];
  const isBalancer = spec.type === "LoadBalancer";
  const { loadBalancerClass, trafficDistribution, healthCheckNodePort } = spec;
  if (loadBalancerClass !== undefined) {
    const at = "spec.loadBalancerClass";
    if (!isBalancer) errors.push(forbiddenField(at, onlyBalancers));
    else
      for (const e of qualifiedNameErrors(loadBalancerClass)) errors.push(invalid(at, loadBalancerClass, e));
  }
  if (
    old &&
    isBalancer &&
    old.spec.type === "LoadBalancer" &&
    old.spec.loadBalancerClass !== loadBalancerClass
  )
    errors.push(invalid("spec.loadBalancerClass", loadBalancerClass ?? null, "may not change once set"));
  errors.push(...validateSourceRanges(spec, old?.spec.loadBalancerSourceRanges));
  if (spec.allocateLoadBalancerNodePorts !== undefined && !isBalancer)
    errors.push(forbiddenField("spec.allocateLoadBalancerNodePorts", onlyBalancers));
  if (trafficDistribution && !distributions.includes(trafficDistribution))
    errors.push(notSupported("spec.trafficDistribution", trafficDistribution, distributions));
  if (healthCheckNodePort && !(isBalancer && spec.externalTrafficPolicy === "Local")) {
    const detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.push(invalid("spec.healthCheckNodePort", healthCheckNodePort, detail));
  }
  return errors;
}

function validateSourceRanges(
  { type, loadBalancerSourceRanges = [] }: Readonly<corev1.ServiceSpec>,
  existing: readonly string[] = [],
): FieldError[] {
  if (loadBalancerSourceRanges.length === 0) return [];
  const at = "spec.LoadBalancerSourceRanges";
  const errors = type === "LoadBalancer" ? [] : [forbiddenField(at, onlyBalancers)];
  for (const [i, range] of loadBalancerSourceRanges.entries())
    for (const e of legacyCidrErrors(range.trim(), existing))
      errors.push(invalid(`${at}[${i}]`, range.trim(), e));
  return errors;
}

/** An address without a word on how it is reached is one of the nodes themselves, which the proxy may shorten. */
export function defaultIpMode(service: corev1.Service): void {
  for (const ingress of service.status?.loadBalancer?.ingress ?? []) if (ingress.ip) ingress.ipMode ??= "VIP";
}

/** What is left of a balancer when the type changes and the client did not touch it. */
export function dropBalancer({ spec }: corev1.Service, { spec: old }: Service): void {
  if (spec.type === "LoadBalancer" || old.type !== "LoadBalancer") return;
  if (spec.allocateLoadBalancerNodePorts === old.allocateLoadBalancerNodePorts)
    delete spec.allocateLoadBalancerNodePorts;
  if (spec.loadBalancerClass === old.loadBalancerClass) delete spec.loadBalancerClass;
}
