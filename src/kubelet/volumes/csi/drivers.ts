/**
 * The CSI drivers of this node: registered by the plugin watcher, known to the cluster by the node's CSINode and labels.
 * https://kubernetes-csi.github.io/docs/node-driver-registrar.html
 */
import { csiDrivers, csiNodes, isStatus, nodes, type storagev1 } from "#api";
import { messageOf, type World } from "#base";
import type { Client } from "#client";
import { VolumeError } from "#contracts";
import { csiMessages, csiMethods } from "../../generated/plugins.ts";
import { connectPlugin, type PluginConnection } from "../../plugins/grpc.ts";
import type { PluginHandler, PluginInfo } from "../../plugins/watcher.ts";
import { fromUsual, isUsual, toUsual } from "../usual-folder.ts";

type CsiMethod = keyof typeof csiMethods;

export interface CsiDriver {
  name: string;
  /** What the driver's node service can do: `STAGE_UNSTAGE_VOLUME` and others. */
  capabilities: ReadonlySet<string>;
  call<R = object>(method: CsiMethod, request: object): Promise<R>;
  /** A path of this node as the driver knows it. */
  pathFor(path: string): string;
}

export interface CsiDrivers {
  /** Throws `VolumeError` for a driver that has not registered. */
  driver(name: string): CsiDriver;
  readonly handler: PluginHandler;
  /** Makes the node's CSINode, which drivers and scheduler look for. */
  announce(): Promise<void>;
  stop(): void;
}

export interface CsiDriversOptions {
  client: Client;
  world: World;
  nodeName: string;
  /** The kubelet's folder. */
  root: string;
  /** How often it is looked whether a driver is to be asked for its count again. */
  countPauseMs?: number;
}

interface NodeInfo {
  nodeId: string;
  maxVolumesPerNode: number;
  accessibleTopology?: { segments?: Record<string, string> };
}

interface CapabilitiesAnswer {
  capabilities: readonly { rpc?: { type: string } }[];
}

interface Connected extends CsiDriver {
  connection: PluginConnection<CsiMethod>;
  endpoint: string;
  /** When to ask again how many volumes the node takes. */
  countAtMs: number;
}

const messages = { nested: { csi: { nested: { v1: { nested: csiMessages } } } } };
const nodeIdAnnotation = "csi.volume.kubernetes.io/nodeid";
const triesMax = 10;
const nameShape = /^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/;
const nameMaxLength = 63;
/** The shortest period that a CSIDriver may ask for. */
const shortestPeriodMs = 10_000;
/** Whether one asks for it at all is looked at this often. */
const uncountedMs = 60_000;

export function createCsiDrivers(options: CsiDriversOptions): CsiDrivers {
  const { client, world, nodeName } = options;
  const drivers = new Map<string, Connected>();
  const ending = new AbortController();
  const { clock } = world;

  const connect = (endpoint: string) =>
    connectPlugin({
      socketPath: fromUsual(endpoint, options.root),
      clock: world.clock,
      methods: csiMethods,
      messages,
    });

  async function register({ name, endpoint, supportedVersions }: PluginInfo): Promise<void> {
    if (!nameShape.test(name) || name.length > nameMaxLength)
      throw new Error(`${JSON.stringify(name.slice(0, 300))} cannot be the name of a CSI driver`);
    if (!supportedVersions.some((version) => /^v?1\./.test(version)))
      throw new Error(
        `driver ${name} speaks none of the supported versions of CSI: ${supportedVersions.join(", ")}`,
      );
    const connection = connect(endpoint);
    try {
      const info = await connection.call<NodeInfo>("NodeGetInfo", {});
      const { capabilities } = await connection.call<CapabilitiesAnswer>("NodeGetCapabilities", {});
      await announce(options, name, info);
      if (ending.signal.aborted) throw new Error("the node agent is ending");
      drivers.get(name)?.connection.close();
      drivers.set(name, {
        name,
        endpoint,
        connection,
        countAtMs: 0,
        capabilities: new Set(capabilities.map(({ rpc }) => rpc?.type ?? "")),
        call: (method, request) => connection.call(method, request),
        // One that names the usual folder has been given ours there, and knows nothing of its own place.
        pathFor: (path) => (isUsual(endpoint) ? toUsual(path, options.root) : path),
      });
      world.log.info({ driver: name }, "a CSI driver has registered");
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  async function keepCounting(): Promise<void> {
    while (!ending.signal.aborted) {
      await clock.sleep(options.countPauseMs ?? shortestPeriodMs, ending.signal);
      for (const driver of drivers.values()) {
        if (clock.monotonic() < driver.countAtMs) continue;
        await count(options, driver).catch((error: unknown) =>
          world.log.debug({ driver: driver.name, error: messageOf(error) }, "a driver could not be asked"),
        );
      }
    }
  }

  return {
    driver(name) {
      const found = drivers.get(name);
      if (found) return found;
      throw new VolumeError(`driver name ${name} not found in the list of registered CSI drivers`);
    },
    handler: {
      register,
      async deregister({ name, endpoint }) {
        const found = drivers.get(name);
        if (found?.endpoint !== endpoint) return;
        found.connection.close();
        drivers.delete(name);
        await forget(options, name);
      },
    },
    async announce() {
      void keepCounting();
      await changeCsiNode(client, nodeName, (before) => [...before]);
    },
    stop() {
      ending.abort();
      for (const { connection } of drivers.values()) connection.close();
      drivers.clear();
    },
  };
}

/** The driver's name for this node, where its volumes can be reached from, and how many fit. */
async function announce(
  { client, nodeName }: CsiDriversOptions,
  name: string,
  info: NodeInfo,
): Promise<void> {
  if (!info.nodeId) throw new Error(`driver ${name} did not say what it calls this node`);
  const labels = info.accessibleTopology?.segments ?? {};
  const node = await client.get(nodes, { name: nodeName });
  for (const [key, value] of Object.entries(labels)) {
    const known = node.metadata.labels?.[key];
    if (known === undefined || known === value) continue;
    const [reported, existing] = [value, known].map(
      (each) => `${JSON.stringify(key)}:${JSON.stringify(each)}`,
    );
    throw new Error(
      `error updating Node object with CSI driver node info: detected topology value collision: driver reported ${reported} but existing label is ${existing}`,
    );
  }
  const ids = { ...idsIn(node.metadata.annotations?.[nodeIdAnnotation]), [name]: info.nodeId };
  const annotations = { [nodeIdAnnotation]: JSON.stringify(ids) };
  await client.patch(nodes, { name: nodeName }, "merge", { metadata: { annotations, labels } });
  const driver: storagev1.CSINodeDriver = {
    name,
    nodeID: info.nodeId,
    topologyKeys: Object.keys(labels).sort(),
    ...(info.maxVolumesPerNode > 0 ? { allocatable: { count: info.maxVolumesPerNode } } : {}),
  };
  await changeCsiNode(client, nodeName, (before) => [...before.filter((each) => each.name !== name), driver]);
}

/** A driver says for how long its count of volumes holds; the scheduler goes by it. */
async function count({ client, world, nodeName }: CsiDriversOptions, driver: Connected): Promise<void> {
  const nowMs = world.clock.monotonic();
  driver.countAtMs = nowMs + uncountedMs;
  const object = await client.get(csiDrivers, { name: driver.name }).catch((error: unknown) => {
    if (isStatus(error, "NotFound")) return undefined;
    throw error;
  });
  const seconds = object?.spec.nodeAllocatableUpdatePeriodSeconds;
  if (!seconds) return;
  driver.countAtMs = nowMs + seconds * 1000;
  const { maxVolumesPerNode } = await driver.call<NodeInfo>("NodeGetInfo", {});
  await changeCsiNode(client, nodeName, (before) =>
    before.map(({ allocatable, ...each }) => {
      if (each.name !== driver.name) return { ...each, ...(allocatable ? { allocatable } : {}) };
      return { ...each, ...(maxVolumesPerNode > 0 ? { allocatable: { count: maxVolumesPerNode } } : {}) };
    }),
  );
}

/** The driver's name for the node goes with it; where its volumes can be reached from stays, as upstream. */
async function forget({ client, nodeName }: CsiDriversOptions, name: string): Promise<void> {
  const node = await client.get(nodes, { name: nodeName });
  const { [name]: _gone, ...ids } = idsIn(node.metadata.annotations?.[nodeIdAnnotation]);
  const isLast = Object.keys(ids).length === 0;
  const annotations = { [nodeIdAnnotation]: isLast ? null : JSON.stringify(ids) };
  await client.patch(nodes, { name: nodeName }, "merge", { metadata: { annotations } });
  await changeCsiNode(client, nodeName, (before) => before.filter((each) => each.name !== name));
}

function idsIn(text: string | undefined): Record<string, string> {
  try {
    return JSON.parse(text ?? "{}") as Record<string, string>;
  } catch {
    return {};
  }
}

type Change = (before: readonly storagev1.CSINodeDriver[]) => storagev1.CSINodeDriver[];

/** Made when it is not there; it goes with its node. */
async function changeCsiNode(client: Client, name: string, change: Change): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      const found = await client.get(csiNodes, { name }).catch((error: unknown) => {
        if (isStatus(error, "NotFound")) return undefined;
        throw error;
      });
      if (!found) await createCsiNode(client, name, change([]));
      else {
        const drivers = change(found.spec.drivers ?? []);
        if (JSON.stringify(drivers) === JSON.stringify(found.spec.drivers ?? [])) return;
        await client.update(csiNodes, { ...found, spec: { drivers } });
      }
      return;
    } catch (error) {
      const isRace = isStatus(error, "Conflict") || isStatus(error, "AlreadyExists");
      if (!isRace || tries >= triesMax) throw error;
    }
  }
}

async function createCsiNode(
  client: Client,
  name: string,
  drivers: storagev1.CSINodeDriver[],
): Promise<void> {
  const { uid } = (await client.get(nodes, { name })).metadata;
  const owner = { apiVersion: "v1", kind: "Node", name, uid };
  await client.create(csiNodes, { metadata: { name, ownerReferences: [owner] }, spec: { drivers } });
}
