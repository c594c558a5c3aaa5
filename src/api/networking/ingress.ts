/** Ingress. https://kubernetes.io/docs/reference/kubernetes-api/service-resources/ingress-v1/ */
import type { networkingv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import {
  ingressWarnings,
  validateIngress,
  validateIngressStatus,
  validateIngressUpdate,
} from "./ingress-validation.ts";

type Ingress = Readonly<networkingv1.Ingress>;

const shownMax = 3;

/** The hosts of the first rules; rules beyond them are counted. */
function hostsText({ spec }: Ingress): string {
  const rules = spec?.rules ?? [];
  const hosts: string[] = [];
  let hasMore = false;
  for (const { host } of rules) {
    if (hosts.length === shownMax) hasMore = true;
    else if (host) hosts.push(host);
  }
  if (hosts.length === 0) return "*";
  return hasMore ? `${hosts.join(",")} + ${rules.length - shownMax} more...` : hosts.join(",");
}

function addressText({ status }: Ingress): string {
  const addresses = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) => ip || hostname || []);
  return [...new Set(addresses)].sort().join(",");
}

export const ingresses = defineResource<networkingv1.Ingress>({
  group: "networking.k8s.io",
  version: "v1",
  resource: "ingresses",
  kind: "Ingress",
  typeName: "io.k8s.api.networking.v1.Ingress",
  namespaced: true,
  shortNames: ["ing"],
  hasGeneration: true,
  subresources: { status: { kind: "Ingress", verbs: ["get", "patch", "update"] } },
  defaults(ingress) {
    ingress.spec ??= {};
    ingress.status ??= {};
    ingress.status.loadBalancer ??= {};
  },
  onCreate(ingress) {
    ingress.status = { loadBalancer: {} };
  },
  validate: validateIngress,
  validateUpdate: validateIngressUpdate,
  validateStatusUpdate: validateIngressStatus,
  warnings: ingressWarnings,
  columns: [
    nameColumn(),
    column(
      "Class",
      "string",
      "The name of the IngressClass resource that should be used for additional configuration",
      (i) => i.spec?.ingressClassName ?? "<none>",
    ),
    column(
      "Hosts",
      "string",
      "Hosts that incoming requests are matched against before the ingress rule",
      hostsText,
    ),
    column(
      "Address",
      "string",
      "Address is a list containing ingress points for the load-balancer",
      addressText,
    ),
    column("Ports", "string", "Ports of TLS configurations that open", (i) =>
      i.spec?.tls?.length ? "80, 443" : "80",
    ),
    ageColumn(),
  ],
});
