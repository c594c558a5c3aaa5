/** One device plugin: a connection, and what it last said of its devices. */
import type { World } from "#base";
import { messageOf } from "#base";
import { deviceMessages, deviceMethods } from "../generated/plugins.ts";
import { connectPlugin, type PluginConnection } from "../plugins/grpc.ts";
import { numaNodesMax } from "../topology/numa.ts";
import type { DeviceGrant } from "./allocation.ts";

interface Device {
  ID: string;
  health: string;
  topology?: { nodes: { ID: number }[] } | null;
}

export interface PluginOptions {
  preStartRequired: boolean;
  getPreferredAllocationAvailable: boolean;
}

export interface Endpoint {
  readonly resource: string;
  /** By id, whether it is healthy. */
  readonly devices: ReadonlyMap<string, boolean>;
  /** By id, the NUMA nodes it lies at; those that lie nowhere in particular are not there. */
  readonly places: ReadonlyMap<string, readonly number[]>;
  preferred(available: string[], mustInclude: string[], size: number): Promise<string[]>;
  allocate(ids: string[]): Promise<DeviceGrant>;
  preStart(ids: string[]): Promise<void>;
  stop(): void;
}

export interface EndpointOptions {
  world: World;
  resource: string;
  socketPath: string;
  /** What it can do; undefined: it is asked. */
  options: PluginOptions | undefined;
  changed(): void;
  ended(endpoint: Endpoint): void;
}

const messages = { nested: { v1beta1: { nested: deviceMessages } } };
/** As upstream: a plugin that does not answer is not there. */
const allocateTimeoutMs = 60_000;
const startTimeoutMs = 30_000;
const askTimeoutMs = 10_000;
const devicesMax = 10_000;

function placesOf(devices: readonly Device[]): Map<string, readonly number[]> {
  const places = devices.map(({ ID, topology }): [string, number[]] => [
    ID,
    (topology?.nodes ?? []).map((node) => node.ID).filter((id) => id >= 0 && id < numaNodesMax),
  ]);
  return new Map(places.filter(([, nodes]) => nodes.length > 0));
}

type Connection = PluginConnection<keyof typeof deviceMethods>;

export async function connectDevicePlugin(given: EndpointOptions): Promise<Endpoint> {
  const { world, resource, socketPath } = given;
  const connection: Connection = connectPlugin({
    socketPath,
    clock: world.clock,
    methods: deviceMethods,
    messages,
  });
  const ending = new AbortController();
  let devices = new Map<string, boolean>();
  let places = new Map<string, readonly number[]>();
  const options =
    given.options ?? (await connection.call<PluginOptions>("GetDevicePluginOptions", {}, askTimeoutMs));

  const endpoint: Endpoint = {
    resource,
    get devices() {
      return devices;
    },
    get places() {
      return places;
    },
    async preferred(availableDeviceIDs, mustIncludeDeviceIDs, allocationSize) {
      if (!options.getPreferredAllocationAvailable) return [];
      const containerRequests = [{ availableDeviceIDs, mustIncludeDeviceIDs, allocationSize }];
      const answer = await connection.call<{ containerResponses: { deviceIDs: string[] }[] }>(
        "GetPreferredAllocation",
        { containerRequests },
        askTimeoutMs,
      );
      return answer.containerResponses[0]?.deviceIDs ?? [];
    },
    async allocate(devicesIds) {
      const request = { containerRequests: [{ devicesIds }] };
      const answer = await connection.call<{ containerResponses: DeviceGrant[] }>(
        "Allocate",
        request,
        allocateTimeoutMs,
      );
      const [grant] = answer.containerResponses;
      if (!grant) throw new Error("the device plugin answered nothing for the container");
      return grant;
    },
    async preStart(devicesIds) {
      if (options.preStartRequired)
        await connection.call("PreStartContainer", { devicesIds }, startTimeoutMs);
    },
    stop: () => ending.abort(),
  };

  connection
    .watch<{ devices: Device[] }>(
      "ListAndWatch",
      {},
      (answer) => {
        devices = new Map(
          answer.devices.slice(0, devicesMax).map(({ ID, health }) => [ID, health === "Healthy"]),
        );
        places = placesOf(answer.devices.slice(0, devicesMax));
        given.changed();
      },
      ending.signal,
    )
    .catch((error: unknown) =>
      world.log.warn({ resource, error: messageOf(error) }, "a device plugin no longer tells of its devices"),
    )
    .finally(() => {
      // What nobody vouches for is not healthy.
      devices = new Map([...devices.keys()].map((id) => [id, false]));
      connection.close();
      given.ended(endpoint);
    });
  return endpoint;
}
