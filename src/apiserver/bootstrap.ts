/** What a cluster has from its first moment: its own namespaces and priority classes, and the Service that leads to the API server. */
import {
  autoUpdateAnnotation,
  configMaps,
  type corev1,
  dayMs,
  dayOf,
  defaultServiceCidrName,
  endpointSlices,
  endpoints,
  type flowcontrolv1,
  flowSchemas,
  formatTime,
  isStatus,
  type KubernetesObject,
  mandatoryFlowSchemas,
  mandatoryPriorityLevels,
  namespaces,
  type networkingv1,
  priorityClasses,
  priorityLevelConfigurations,
  type ResourceDefinition,
  resourceDefinitions,
  sameJson,
  serviceCidrs,
  services,
  suggestedFlowSchemas,
  suggestedPriorityLevels,
  systemPriorityClasses,
  tokenTracking,
} from "#api";
import { assert } from "#base";
import { addressAt, parseRange } from "./admission/address-range.ts";
import { systemNamespaces } from "./admission/namespace-lifecycle.ts";
import type { FrontProxy } from "./aggregator/proxy.ts";
import { type ComponentPolicy, installPolicy } from "./authorization/policy/install.ts";
import { danglingCondition } from "./flow-control/dangling.ts";
import type { Registry, WriteContext } from "./registry/context.ts";
import { create } from "./registry/create.ts";
import { change, mainStrategy, statusStrategy } from "./registry/update.ts";
import type { ServerAddress } from "./server-identity.ts";
import { authenticatedGroup } from "./user.ts";

export interface BootstrapOptions {
  serviceCidrs: readonly string[];
  /** PEM of the authority whose client certificates are good. */
  clientCa: string;
  frontProxy?: FrontProxy;
  /** Where API servers are, this one among them. Absent: it has no sockets, so there is nothing the Service could lead to. */
  servers?: () => Promise<readonly ServerAddress[]>;
  /** What acts as a service account of its own, and the rules it runs under. */
  components: readonly ComponentPolicy[];
  /** Absent without sockets. */
  port: number | undefined;
}

const context: WriteContext = {
  user: { username: "system:apiserver", groups: ["system:masters", authenticatedGroup] },
  dryRun: false,
};
const serviceName = "kubernetes";
const namespace = "default";
const portName = "https";
const readyCondition = "Ready";

type Draft = { metadata: Partial<KubernetesObject["metadata"]> } & Record<string, unknown>;

export async function bootstrap(registry: Registry, options: BootstrapOptions): Promise<void> {
  await Promise.all(systemNamespaces.map((name) => ensure(registry, namespaces, { metadata: { name } })));
  await installPolicy(registry, context, options.components);
  for (const { name, ...rest } of systemPriorityClasses)
    await ensure(registry, priorityClasses, { metadata: { name }, ...rest });
  await ensureServiceCidr(registry, options.serviceCidrs);
  await ensureFlowControl(registry);
  await ensureAuthenticationConfig(registry, options);
  await ensureTokenTracking(registry);
  const port = options.port ?? 6443;
  await ensure(registry, services, {
    metadata: { name: serviceName, namespace, labels: { component: "apiserver", provider: "kubernetes" } },
    spec: {
      clusterIP: addressAt(parseRange(options.serviceCidrs[0] ?? ""), 0),
      ports: [{ name: portName, port: 443, protocol: "TCP", targetPort: port }],
      type: "ClusterIP",
      sessionAffinity: "None",
    },
  });
  if (options.servers) await ensureEndpoints(registry, await options.servers());
}

/**
 * How servers that this one aggregates know their callers.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/#extension-apiserver-authenticates-the-request
 */
async function ensureAuthenticationConfig(
  registry: Registry,
  { clientCa, frontProxy }: BootstrapOptions,
): Promise<void> {
  const list = (...names: string[]) => JSON.stringify(names);
  await ensureContent(registry, configMaps, "data", {
    metadata: { name: "extension-apiserver-authentication", namespace: "kube-system" },
    data: {
      "client-ca-file": clientCa,
      ...(frontProxy
        ? {
            "requestheader-allowed-names": list("front-proxy-client"),
            "requestheader-client-ca-file": frontProxy.ca,
            "requestheader-extra-headers-prefix": list("X-Remote-Extra-"),
            "requestheader-group-headers": list("X-Remote-Group"),
            "requestheader-uid-headers": list("X-Remote-Uid"),
            "requestheader-username-headers": list("X-Remote-User"),
          }
        : {}),
    },
  });
}

/** Since when the use of tokens in Secrets is noted. */
async function ensureTokenTracking(registry: Registry): Promise<void> {
  const definition = definitionNamed(configMaps.kind);
  const found = registry.storage.find(definition, tokenTracking.namespace, tokenTracking.name);
  const { data } = (found?.parse() ?? {}) as Partial<corev1.ConfigMap>;
  if (dayMs(data?.since) !== undefined) return;
  const since = { since: dayOf(registry.world.clock.now()) };
  await ensureContent(registry, configMaps, "data", { metadata: tokenTracking, data: since });
}

/** The seats of the server are its own; these tell clients and tools what upstream's would do, and can be edited. */
async function ensureFlowControl(registry: Registry): Promise<void> {
  const annotations = { [autoUpdateAnnotation]: "true" };
  const levels = [...mandatoryPriorityLevels, ...suggestedPriorityLevels].map(({ name, spec }) =>
    ensure(registry, priorityLevelConfigurations, { metadata: { name, annotations }, spec }),
  );
  const schemas = [...mandatoryFlowSchemas, ...suggestedFlowSchemas].map(async ({ name, spec }) => {
    await ensure(registry, flowSchemas, { metadata: { name, annotations }, spec });
    const definition = definitionNamed(flowSchemas.kind);
    const target = { definition, namespace: undefined, name };
    await change(registry, target, context, statusStrategy(definition), (read) => {
      const current = read() as flowcontrolv1.FlowSchema & KubernetesObject;
      if (current.status?.conditions?.length) return current;
      const dangling = danglingCondition(current, true, registry.world.clock.now());
      if (dangling) current.status = { conditions: [dangling] };
      return current;
    });
  });
  await Promise.all([...levels, ...schemas]);
}

/** Nobody else has to prepare anything for the ranges that the server was started with. */
async function ensureServiceCidr(registry: Registry, cidrs: readonly string[]): Promise<void> {
  const name = defaultServiceCidrName;
  await ensure(registry, serviceCidrs, { metadata: { name }, spec: { cidrs: [...cidrs] } });
  const definition = definitionNamed(serviceCidrs.kind);
  const target = { definition, namespace: undefined, name };
  await change(registry, target, context, statusStrategy(definition), (read) => {
    const current = read() as networkingv1.ServiceCIDR;
    if (current.status.conditions?.some(({ type }) => type === readyCondition)) return current;
    const ready = {
      type: readyCondition,
      status: "True",
      reason: "",
      message: "Kubernetes default Service CIDR is ready",
      lastTransitionTime: formatTime(registry.world.clock.now()),
    };
    current.status.conditions = [...(current.status.conditions ?? []), ready];
    return current;
  });
}

/** Servers know their own addresses best: no controller looks after these two. */
export async function ensureEndpoints(registry: Registry, servers: readonly ServerAddress[]): Promise<void> {
  const ports = [...new Set(servers.map(({ port }) => port))];
  const portOf = (port: number) => [{ name: portName, port, protocol: "TCP" }];
  const addressesAt = (port: number) => servers.filter((each) => each.port === port).map(({ ip }) => ip);
  if (ports.length === 0) return;
  await ensureContent(registry, endpoints, "subsets", {
    metadata: { name: serviceName, namespace, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    subsets: ports.map((port) => ({
      addresses: addressesAt(port).map((ip) => ({ ip })),
      ports: portOf(port),
    })),
  });
  const slice: Draft = {
    metadata: { name: serviceName, namespace, labels: { "kubernetes.io/service-name": serviceName } },
    addressType: "IPv4",
    // A slice has one port: as a rule that of all servers.
    endpoints: addressesAt(ports[0]!).map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
    ports: portOf(ports[0]!),
  };
  await ensureContent(registry, endpointSlices, "endpoints", slice);
  await ensureContent(registry, endpointSlices, "ports", slice);
}

async function ensure(
  registry: Registry,
  type: Pick<ResourceDefinition, "kind">,
  draft: Draft,
): Promise<void> {
  const definition = definitionNamed(type.kind);
  const object = { kind: definition.kind, apiVersion: versionOf(definition), ...structuredClone(draft) };
  const target = { definition, namespace: draft.metadata.namespace, name: draft.metadata.name! };
  if (registry.storage.find(definition, target.namespace, target.name)) return;
  try {
    await create(registry, { ...target, name: "" }, context, object as unknown as KubernetesObject);
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
  }
}

/** As `ensure`, and brings one field of what is there already up to date. */
async function ensureContent(
  registry: Registry,
  type: Pick<ResourceDefinition, "kind">,
  field: string,
  draft: Draft,
): Promise<void> {
  await ensure(registry, type, draft);
  const definition = definitionNamed(type.kind);
  const target = { definition, namespace: draft.metadata.namespace, name: draft.metadata.name! };
  await change(registry, target, context, mainStrategy(definition), (read) => {
    const current = read();
    const fields = current as unknown as Record<string, unknown>;
    if (!sameJson(fields[field], draft[field])) fields[field] = structuredClone(draft[field]);
    return current;
  });
}

function versionOf(definition: ResourceDefinition): string {
  return definition.group ? `${definition.group}/${definition.version}` : definition.version;
}

function definitionNamed(kind: string): ResourceDefinition {
  const definition = resourceDefinitions.find((d) => d.kind === kind);
  assert(definition, `${kind} is not served`);
  return definition;
}
