/** Service. https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn, proxyVerbs } from "../meta/define-resource.ts";
import { nameIsDns1035Label } from "../validation/names.ts";
import { sameJson } from "./pod-spec/template.ts";
import { defaultIpMode, dropBalancer } from "./service-load-balancer.ts";
import { validateService, validateServiceUpdate } from "./service-validation.ts";
import { serviceWarnings } from "./service-warnings.ts";

const none = "<none>";
/** Three hours. */
const affinitySecondsDefault = 10_800;

function defaultService(service: corev1.Service): void {
  service.spec ??= {};
  const { spec } = service;
  spec.sessionAffinity ??= "None";
  if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
  else {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= affinitySecondsDefault;
  }
  spec.type ??= "ClusterIP";
  for (const port of spec.ports ?? []) {
    port.protocol ??= "TCP";
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === "")
      port.targetPort = port.port;
  }
  const isExposed = spec.type === "NodePort" || spec.type === "LoadBalancer";
  if (isExposed) spec.externalTrafficPolicy ??= "Cluster";
  if (isExposed || spec.type === "ClusterIP") spec.internalTrafficPolicy ??= "Cluster";
  if (spec.type === "LoadBalancer") spec.allocateLoadBalancerNodePorts ??= true;
  defaultIpMode(service);
}

/** What belongs to the old type goes when the type changes and the client did not touch it. */
function dropFormerType(service: corev1.Service, old: Readonly<corev1.Service>): void {
  const { spec } = service;
  const was = old.spec.type;
  dropHealthPort(service, old);
  if (spec.type === was) return;
  dropBalancer(service, old);
  if (spec.type === "ExternalName") {
    if (spec.clusterIP === old.spec.clusterIP && sameJson(spec.clusterIPs, old.spec.clusterIPs)) {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
    if (sameJson(spec.ipFamilies, old.spec.ipFamilies)) delete spec.ipFamilies;
    if (spec.ipFamilyPolicy === old.spec.ipFamilyPolicy) delete spec.ipFamilyPolicy;
    delete spec.internalTrafficPolicy;
  }
  if (was === "ExternalName" && spec.externalName === old.spec.externalName) delete spec.externalName;
  const isExposed = spec.type === "NodePort" || spec.type === "LoadBalancer";
  if (isExposed) return;
  for (const port of spec.ports ?? []) {
    if (old.spec.ports?.some((p) => p.nodePort === port.nodePort)) delete port.nodePort;
  }
  if (spec.externalTrafficPolicy === old.spec.externalTrafficPolicy) delete spec.externalTrafficPolicy;
}

/** Nobody asks a Service for its health whose traffic goes to every node. */
function dropHealthPort({ spec }: corev1.Service, { spec: old }: Readonly<corev1.Service>): void {
  const needs = ({ type, externalTrafficPolicy }: Readonly<corev1.ServiceSpec>) =>
    type === "LoadBalancer" && externalTrafficPolicy === "Local";
  if (needs(old) && !needs(spec) && spec.healthCheckNodePort === old.healthCheckNodePort)
    delete spec.healthCheckNodePort;
}

function loadBalancerAddresses(service: Readonly<corev1.Service>): string {
  return (service.status?.loadBalancer?.ingress ?? []).map((i) => i.ip || i.hostname || "").join(",");
}

function externalIp(service: Readonly<corev1.Service>): string {
  const own = (service.spec.externalIPs ?? []).join(",");
  if (service.spec.type === "ExternalName") return service.spec.externalName ?? "";
  if (service.spec.type !== "LoadBalancer") return own || none;
  return [loadBalancerAddresses(service), own].filter(Boolean).join(",") || "<pending>";
}

function portsText(service: Readonly<corev1.Service>): string {
  const texts = (service.spec.ports ?? []).map((p) =>
    p.nodePort ? `${p.port}:${p.nodePort}/${p.protocol}` : `${p.port}/${p.protocol}`,
  );
  return texts.join(",") || none;
}

function selectorText(service: Readonly<corev1.Service>): string {
  const pairs = Object.entries(service.spec.selector ?? {}).map(([k, v]) => `${k}=${v}`);
  return pairs.sort().join(",") || none;
}

export const services = defineResource<corev1.Service>({
  group: "",
  version: "v1",
  resource: "services",
  kind: "Service",
  typeName: "io.k8s.api.core.v1.Service",
  namespaced: true,
  shortNames: ["svc"],
  categories: ["all"],
  subresources: {
    proxy: { kind: "ServiceProxyOptions", verbs: proxyVerbs },
    status: { kind: "Service", verbs: ["get", "patch", "update"] },
  },
  validateName: nameIsDns1035Label,
  defaults: defaultService,
  onCreate(service) {
    service.status = { loadBalancer: {} };
  },
  onUpdate(service, old) {
    service.status = old.status;
    dropFormerType(service, old);
  },
  validate: validateService,
  warnings: serviceWarnings,
  validateUpdate: validateServiceUpdate,
  selectableFields: {
    "spec.clusterIP": (service) => service.spec.clusterIP ?? "",
    "spec.type": (service) => service.spec.type ?? "",
  },
  columns: [
    nameColumn(),
    column("Type", "string", "How the service is exposed.", (s) => s.spec.type ?? ""),
    column(
      "Cluster-IP",
      "string",
      "The service's address inside the cluster.",
      (s) => s.spec.clusterIP || none,
    ),
    column("External-IP", "string", "The service's addresses outside the cluster.", externalIp),
    column("Port(s)", "string", "The ports that are exposed by this service.", portsText),
    ageColumn(),
    column(
      "Selector",
      "string",
      "Route service traffic to pods with labels matching this selector.",
      selectorText,
      1,
    ),
  ],
});
