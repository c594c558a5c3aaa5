/** Small worlds of pods, namespaces and NetworkPolicies, at random and by hand. */
import fc from "fast-check";
import type { metav1, networkingv1 } from "#api";
import type { PodFacts } from "./model.ts";
import type { World } from "./reference.fixture.ts";

export const protocols = ["tcp", "udp"] as const;
export const ports = [80, 81, 443] as const;
const spaces = ["a", "b"] as const;
const outside = ["192.0.2.1", "10.9.0.7"] as const;

const labels = fc.record(
  { app: fc.constantFrom("web", "db"), tier: fc.constantFrom("x", "y") },
  { requiredKeys: [] },
) as fc.Arbitrary<Record<string, string>>;

const selector: fc.Arbitrary<metav1.LabelSelector> = fc.oneof(
  fc.constant({}),
  labels.map((matchLabels) => ({ matchLabels })),
  fc.record({
    matchExpressions: fc.array(
      fc.record({
        key: fc.constantFrom("app", "tier"),
        operator: fc.constantFrom("In", "NotIn", "Exists", "DoesNotExist"),
        values: fc.constant<string[]>(["web", "x"]),
      }),
      { maxLength: 2 },
    ),
  }),
);

const block = fc.constantFrom<networkingv1.IPBlock[]>(
  { cidr: "0.0.0.0/0" },
  { cidr: "10.244.0.0/16", except: ["10.244.0.2/32", "10.244.0.4/31"] },
  { cidr: "192.0.2.0/24", except: ["192.0.2.1/32"] },
  { cidr: "0.0.0.0/0", except: ["10.0.0.0/8"] },
);

const peer: fc.Arbitrary<networkingv1.NetworkPolicyPeer> = fc.oneof(
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector: selector }),
  fc.record({ podSelector: selector, namespaceSelector: selector }),
  fc.record({ ipBlock: block }),
);

const protocol = fc.constantFrom("TCP", "UDP");
const port: fc.Arbitrary<networkingv1.NetworkPolicyPort> = fc.oneof(
  fc.record({ protocol }),
  fc.record({ protocol, port: fc.constantFrom<number | string>(80, 443, "http", "dns") }),
  fc.record({ protocol, port: fc.constant(80), endPort: fc.constantFrom(80, 81, 443) }),
);

const rule = fc.record({
  peers: fc.array(peer, { maxLength: 2 }),
  ports: fc.array(port, { maxLength: 3 }),
});

const policySpec: fc.Arbitrary<networkingv1.NetworkPolicySpec> = fc
  .record({
    podSelector: selector,
    ingress: fc.array(rule, { maxLength: 2 }),
    egress: fc.array(rule, { maxLength: 2 }),
    policyTypes: fc.subarray(["Ingress", "Egress"], { minLength: 1 }),
  })
  .map(({ ingress, egress, ...rest }) => ({
    ...rest,
    ingress: ingress.map((each) => ({ from: each.peers, ports: each.ports })),
    egress: egress.map((each) => ({ to: each.peers, ports: each.ports })),
  }));

export const podFacts = (index: number): fc.Arbitrary<PodFacts> =>
  fc.record({
    namespace: fc.constantFrom(...spaces),
    labels,
    address: fc.constant(`10.244.0.${index + 1}`),
    ports: fc.subarray([
      { name: "http", protocol: "tcp", port: 80 },
      { name: "http", protocol: "tcp", port: 81 },
      { name: "dns", protocol: "udp", port: 443 },
    ]),
    local: fc.boolean(),
  });

export function policyOf(
  namespace: string,
  name: string,
  spec: networkingv1.NetworkPolicySpec,
): networkingv1.NetworkPolicy {
  const metadata = { namespace, name, uid: `${namespace}-${name}` };
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec } as never;
}

const podsMax = 5;
const policiesMax = 3;

/** Worlds with the same names in them, so that one can become the other. */
export const anyWorld: fc.Arbitrary<World> = fc
  .record({
    pods: fc.tuple(...Array.from({ length: podsMax }, (_, i) => fc.option(podFacts(i)))),
    namespaces: fc.tuple(labels, labels),
    policies: fc.tuple(
      ...Array.from({ length: policiesMax }, () =>
        fc.option(fc.tuple(fc.constantFrom(...spaces), policySpec)),
      ),
    ),
  })
  .map(({ pods, namespaces, policies }) => ({
    pods: new Map(pods.flatMap((pod, i) => (pod ? [[`${pod.namespace}/pod${i}`, pod] as const] : []))),
    namespaces: new Map(spaces.map((name, i) => [name, namespaces[i]!])),
    policies: policies.flatMap((each, i) => (each ? [policyOf(each[0], `p${i}`, each[1])] : [])),
  }));

export const addressesOf = ({ pods }: World): string[] => [
  ...[...pods.values()].map(({ address }) => address),
  ...outside,
];
