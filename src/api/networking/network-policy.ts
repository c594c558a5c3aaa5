/** NetworkPolicy. https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/ */
import type { networkingv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../meta/field-error.ts";
import { formatLabelSelector, validateLabelSelector } from "../meta/label-selector.ts";
import { cidrWarnings, isStrictSubnet, legacyCidrErrors } from "../validation/addresses.ts";
import { portErrors, portNameErrors } from "../validation/names.ts";

type Policy = Readonly<networkingv1.NetworkPolicy>;
type Spec = Readonly<networkingv1.NetworkPolicySpec>;
type Port = Readonly<networkingv1.NetworkPolicyPort>;
type Peer = Readonly<networkingv1.NetworkPolicyPeer>;
type Block = Readonly<networkingv1.IPBlock>;

const protocols = ["TCP", "UDP", "SCTP"];
const policyTypes = ["Ingress", "Egress"];

interface Rule {
  readonly at: string;
  readonly ports: readonly Port[];
  readonly peers: readonly Peer[];
  readonly peersAt: string;
}

/** Rules of both directions, in one form. */
function rulesOf(spec: Spec): Rule[] {
  const ingress = (spec.ingress ?? []).map(({ ports = [], from = [] }, i) => {
    const at = `spec.ingress[${i}]`;
    return { at, ports, peers: from, peersAt: `${at}.from` };
  });
  const egress = (spec.egress ?? []).map(({ ports = [], to = [] }, i) => {
    const at = `spec.egress[${i}]`;
    return { at, ports, peers: to, peersAt: `${at}.to` };
  });
  return [...ingress, ...egress];
}

function validatePort({ protocol, port, endPort }: Port, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const fault = (detail: string) => errors.push(invalid(`${at}.endPort`, endPort, detail));
  if (protocol !== undefined && !protocols.includes(protocol))
    errors.push(notSupported(`${at}.protocol`, protocol, protocols));
  if (typeof port === "number") {
    for (const e of portErrors(port)) errors.push(invalid(`${at}.port`, port, e));
    if (endPort === undefined) return errors;
    if (endPort < port) fault("must be greater than or equal to `port`");
    for (const e of portErrors(endPort)) fault(e);
  } else if (port !== undefined) {
    if (endPort !== undefined) fault("may not be specified when `port` is non-numeric");
    for (const e of portNameErrors(port)) errors.push(invalid(`${at}.port`, port, e));
  } else if (endPort !== undefined) fault("may not be specified when `port` is not specified");
  return errors;
}

function validateBlock({ cidr, except = [] }: Block, at: string, existing: readonly string[]): FieldError[] {
  if (!cidr) return [required(`${at}.cidr`)];
  const errors = legacyCidrErrors(cidr, existing).map((e) => invalid(`${at}.cidr`, cidr, e));
  for (const [i, excepted] of except.entries()) {
    const field = `${at}.except[${i}]`;
    if (isStrictSubnet(cidr, cidr) === undefined) break;
    for (const e of legacyCidrErrors(excepted, existing)) errors.push(invalid(field, excepted, e));
    if (isStrictSubnet(excepted, cidr) === false)
      errors.push(invalid(field, excepted, "must be a strict subset of `cidr`"));
  }
  return errors;
}

function validatePeer(peer: Peer, at: string, existing: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  const { podSelector, namespaceSelector, ipBlock } = peer;
  if (podSelector) errors.push(...validateLabelSelector(podSelector, `${at}.podSelector`));
  if (namespaceSelector) errors.push(...validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`));
  if (ipBlock) errors.push(...validateBlock(ipBlock, `${at}.ipBlock`, existing));
  if (!podSelector && !namespaceSelector && !ipBlock) errors.push(required(at, "must specify a peer"));
  else if (ipBlock && (podSelector || namespaceSelector))
    errors.push(forbiddenField(at, "may not specify both ipBlock and another peer"));
  return errors;
}

/** `existing`: CIDRs that the policy has already; they stay valid wherever they stand. */
function validateSpec(spec: Spec, existing: readonly string[]): FieldError[] {
  const errors = validateLabelSelector(spec.podSelector, "spec.podSelector");
  for (const { at, ports, peers, peersAt } of rulesOf(spec)) {
    for (const [i, port] of ports.entries()) errors.push(...validatePort(port, `${at}.ports[${i}]`));
    for (const [i, peer] of peers.entries()) errors.push(...validatePeer(peer, `${peersAt}[${i}]`, existing));
  }
  const types = spec.policyTypes ?? [];
  if (types.length > policyTypes.length) {
    return [...errors, invalid("spec.policyTypes", types, "may not specify more than two policyTypes")];
  }
  for (const [i, type] of types.entries())
    if (!policyTypes.includes(type)) errors.push(notSupported(`spec.policyTypes[${i}]`, type, policyTypes));
  return errors;
}

function blocksOf(spec: Spec): { block: Block; at: string }[] {
  return rulesOf(spec).flatMap(({ peers, peersAt }) =>
    peers.flatMap(({ ipBlock }, i) => (ipBlock ? [{ block: ipBlock, at: `${peersAt}[${i}].ipBlock` }] : [])),
  );
}

function cidrsOf({ spec }: Policy): string[] {
  return blocksOf(spec ?? {}).flatMap(({ block }) => [block.cidr, ...(block.except ?? [])]);
}

function policyWarnings({ spec }: Policy): string[] {
  return blocksOf(spec ?? {}).flatMap(({ block: { cidr, except = [] }, at }) => [
    ...cidrWarnings(`${at}.cidr`, cidr),
    ...except.flatMap((excepted, i) => cidrWarnings(`${at}.except[${i}]`, excepted)),
  ]);
}

function defaultPolicy(policy: networkingv1.NetworkPolicy): void {
  policy.spec ??= {};
  const { spec } = policy;
  spec.podSelector ??= {};
  for (const { ports = [] } of [...(spec.ingress ?? []), ...(spec.egress ?? [])])
    for (const port of ports) port.protocol ??= "TCP";
  if (!spec.policyTypes?.length) spec.policyTypes = spec.egress?.length ? ["Ingress", "Egress"] : ["Ingress"];
}

export const networkPolicies = defineResource<networkingv1.NetworkPolicy>({
  group: "networking.k8s.io",
  version: "v1",
  resource: "networkpolicies",
  kind: "NetworkPolicy",
  typeName: "io.k8s.api.networking.v1.NetworkPolicy",
  namespaced: true,
  shortNames: ["netpol"],
  hasGeneration: true,
  defaults: defaultPolicy,
  validate: (policy) => validateSpec(policy.spec, []),
  validateUpdate: (policy, old) => validateSpec(policy.spec, cidrsOf(old)),
  warnings: policyWarnings,
  columns: [
    nameColumn(),
    column(
      "Pod-Selector",
      "string",
      "Selects the pods to which this NetworkPolicy object applies.",
      (p) => formatLabelSelector(p.spec?.podSelector) || "<none>",
    ),
    ageColumn(),
  ],
});
