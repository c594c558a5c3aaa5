/**
 * The embedded cluster: the same control plane inside a Node process, with simulated nodes. Nothing is global: several
 * live side by side, and `stop` leaves nothing over.
 *
 * @example
 * await using cluster = await Cluster.start();
 * await cluster.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}");
 */
import { parseAllDocuments } from "yaml";
import {
  badRequest,
  type Draft,
  isStatus,
  type KubernetesObject,
  type ResourceDefinition,
  resourceDefinitions,
} from "#api";
import { createWorld, silentLogger, type World } from "#base";
import type { Client, Informers } from "#client";
import type { KubeSchedulerConfiguration } from "#scheduler";
import { type SimulatedNode, type Stages, startSimulator } from "#simulator";
import { openEmbeddedStore } from "#store";
import { installStorageClass } from "./addons.ts";
import { type Running, stopAll } from "./components.ts";
import { startControlPlane } from "./control-plane.ts";
import { createCredentials } from "./credentials.ts";
import { kubeconfigOf } from "./kubeconfig.ts";

export interface ClusterOptions {
  /** Shows in the kubeconfig's context: `knarr-NAME`. */
  name?: string;
  /** Simulated nodes, how many or which; default 1. */
  nodes?: number | readonly SimulatedNode[];
  /** Profiles, plugins and their settings, as kube-scheduler takes them. */
  scheduler?: KubeSchedulerConfiguration;
  /** How pods live on them: how long they take to start and to end, and how many fail. */
  stages?: Partial<Stages>;
  /** Without a socket the API is reached through `client` only, and `kubeconfig` is empty. Default true. */
  listen?: boolean;
  /** Time, randomness, log and metrics; default: the machine's own, and a silent log. */
  world?: Partial<World>;
}

const loopback = "127.0.0.1";
const serviceCidr = "10.96.0.0/16";
const serviceAddress = "10.96.0.1";

export class Cluster implements AsyncDisposable {
  /** An administrator's client, inside the process: no sockets, the same checks. */
  readonly client: Client;
  readonly informers: Informers;
  /** For kubectl and every other stock client. */
  readonly kubeconfig: string;
  /** `https://127.0.0.1:PORT`. */
  readonly url: string;
  readonly #started: Running[];

  private constructor(
    parts: Pick<Cluster, "client" | "informers" | "kubeconfig" | "url">,
    started: Running[],
  ) {
    this.client = parts.client;
    this.informers = parts.informers;
    this.kubeconfig = parts.kubeconfig;
    this.url = parts.url;
    this.#started = started;
  }

  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const world = createWorld({ log: silentLogger, ...options.world });
    const started: Running[] = [];
    try {
      const config = { nodeName: "localhost", nodeAddress: loopback, serviceAddress };
      const credentials = await createCredentials(world, config);
      const store = await openEmbeddedStore({ memory: true, world });
      started.push({ stop: () => store.close() });
      const controlPlane = await startControlPlane({
        world,
        store,
        credentials,
        ...(options.listen === false ? {} : { listen: { host: loopback, port: 0 } }),
        serviceCidrs: [serviceCidr],
        advertiseAddress: loopback,
        ...(options.scheduler ? { scheduler: options.scheduler } : {}),
      });
      started.push(controlPlane);
      const client = controlPlane.clientOf("kubernetes-admin", ["system:masters"]);
      await installStorageClass(client);
      const { informers } = controlPlane;
      const { nodes = 1, stages = {} } = options;
      started.push(await startSimulator({ client, world, informers, nodes, stages }));
      const url = options.listen === false ? "" : controlPlane.apiServer.url;
      const kubeconfig = url
        ? kubeconfigOf({
            name: options.name ?? "embedded",
            url,
            caCert: credentials.ca.cert,
            client: credentials.admin,
          })
        : "";
      return new Cluster({ client, informers, kubeconfig, url }, started);
    } catch (error) {
      await stopAll(started);
      throw error;
    }
  }

  /** Creates or changes every object of a YAML text (one or more documents, or a List) as `kubectl apply` would. */
  async apply(yaml: string): Promise<KubernetesObject[]> {
    const applied: KubernetesObject[] = [];
    for (const object of objectsOf(yaml)) applied.push(await applyObject(this.client, object));
    return applied;
  }

  /** Ends everything this cluster started. */
  stop(): Promise<void> {
    return stopAll(this.#started);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

type Manifest = Draft<KubernetesObject> & { items?: Manifest[] };

function objectsOf(yaml: string): Manifest[] {
  return parseAllDocuments(yaml).flatMap((document) => {
    if (document.errors.length > 0) throw badRequest(`error parsing YAML: ${document.errors[0]!.message}`);
    const manifest = document.toJS() as Manifest | null;
    if (!manifest) return [];
    return manifest.kind === "List" ? (manifest.items ?? []) : [manifest];
  });
}

function definitionOf(manifest: Manifest): ResourceDefinition {
  const [version, group = ""] = (manifest.apiVersion ?? "").split("/").reverse();
  const found = resourceDefinitions.find(
    (d) => d.kind === manifest.kind && d.group === group && d.version === version,
  );
  if (found) return found;
  throw badRequest(`no matches for kind "${manifest.kind}" in version "${manifest.apiVersion}"`);
}

async function applyObject(client: Client, manifest: Manifest): Promise<KubernetesObject> {
  const definition = definitionOf(manifest);
  const namespace = definition.namespaced ? (manifest.metadata?.namespace ?? "default") : undefined;
  const object = { ...manifest, metadata: { ...manifest.metadata, ...(namespace ? { namespace } : {}) } };
  try {
    return await client.create(definition, object);
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
    const ref = { ...(namespace ? { namespace } : {}), name: manifest.metadata?.name ?? "" };
    return client.patch(definition, ref, "strategic", object);
  }
}
