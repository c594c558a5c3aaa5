/** The resource metrics API of a cluster: the server, and the objects by which the API server finds it. */
import {
  apiServices,
  clusterRoles,
  type Draft,
  endpointSlices,
  isStatus,
  type KubernetesObject,
  type ResourceType,
  services,
} from "#api";
import type { World } from "#base";
import type { Client, Informers } from "#client";
import { startMetricsServer } from "#metrics";
import type { Running } from "./components.ts";
import type { ClusterConfig } from "./config.ts";
import { createOrPatch } from "./create-or-patch.ts";
import type { Credentials } from "./credentials.ts";

const namespace = "kube-system";
const name = "knarr-metrics";
const apiService = "v1beta1.metrics.k8s.io";

export interface ClusterMetricsOptions {
  world: World;
  config: ClusterConfig;
  credentials: Credentials;
  client: Client;
  informers: Informers;
}

export async function startClusterMetrics(options: ClusterMetricsOptions): Promise<Running> {
  const { world, config, credentials, client, informers } = options;
  const server = await startMetricsServer({
    world,
    client,
    informers,
    host: config.nodeAddress,
    tls: credentials.metricsServer,
    frontProxyCa: credentials.frontProxy.ca,
  });
  try {
    await installMetricsApi(client, config, credentials.ca.cert, server.port);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

async function installMetricsApi(
  client: Client,
  config: ClusterConfig,
  ca: string,
  port: number,
): Promise<void> {
  await Promise.all([
    createOrPatch(client, services, {
      metadata: { name, namespace },
      spec: { ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: port }] },
    }),
    createOrPatch(client, endpointSlices, {
      metadata: {
        name,
        namespace,
        labels: {
          "kubernetes.io/service-name": name,
          "endpointslice.kubernetes.io/managed-by": "knarr.dev",
        },
      },
      addressType: "IPv4",
      ports: [{ name: "https", port, protocol: "TCP" }],
      endpoints: [
        { addresses: [config.nodeAddress], conditions: { ready: true }, nodeName: config.nodeName },
      ],
    }),
    createOnce(client, clusterRoles, {
      metadata: {
        name: "system:aggregated-metrics-reader",
        labels: {
          "rbac.authorization.k8s.io/aggregate-to-admin": "true",
          "rbac.authorization.k8s.io/aggregate-to-edit": "true",
          "rbac.authorization.k8s.io/aggregate-to-view": "true",
        },
      },
      rules: [
        { apiGroups: ["metrics.k8s.io"], resources: ["pods", "nodes"], verbs: ["get", "list", "watch"] },
      ],
    }),
  ]);
  await createOnce(client, apiServices, {
    metadata: { name: apiService },
    spec: {
      group: "metrics.k8s.io",
      version: "v1beta1",
      groupPriorityMinimum: 100,
      versionPriority: 100,
      service: { name, namespace, port: 443 },
      caBundle: Buffer.from(ca).toString("base64"),
    },
  });
}

/** A metrics server that somebody installed in place of this one stays. */
async function createOnce<T extends KubernetesObject>(
  client: Client,
  type: ResourceType<T>,
  object: Draft<T>,
): Promise<void> {
  await client.create(type, object).catch((error: unknown) => {
    if (!isStatus(error, "AlreadyExists")) throw error;
  });
}
