/**
 * Volumes of CSI drivers: staged once for the node, published for each pod, and taken back in the opposite order. What
 * is asked of a driver lies on disk before it is asked, so that it is taken back whenever this process ends.
 * https://kubernetes.io/docs/concepts/storage/volumes/#csi
 */
import { join } from "node:path";
import { csiDrivers, isStatus } from "#api";
import type { Client } from "#client";
import {
  defineVolumePlugin,
  type MountRequest,
  noNeeds,
  VolumeError,
  type VolumeHost,
  type VolumePlugin,
  type VolumeUsage,
} from "#contracts";
import type { CsiDrivers } from "./drivers.ts";
import { publish } from "./publish.ts";
import {
  checkLifecycle,
  csiPlan,
  type DriverObject,
  expansionOf,
  isAttachable,
  uniqueNameOf,
} from "./requests.ts";
import { type CsiState, type CsiVolumesOptions, createLocks, targetIn } from "./state.ts";
import { removeOrphans, unpublish } from "./unpublish.ts";
import { readVolumeData } from "./volume-data.ts";

export interface CsiVolumes {
  readonly plugin: VolumePlugin;
  /** Attachable volumes that this node holds, as its status names them. */
  volumesInUse(): string[];
  /** Unstages what no pod of this node uses any more. */
  removeOrphans(): Promise<void>;
}

export function createCsiVolumes(options: CsiVolumesOptions): CsiVolumes {
  const { client, drivers } = options;
  const state: CsiState = {
    ...options,
    csiDir: join(options.root, "plugins", "kubernetes.io", "csi"),
    hold: createLocks(),
    published: new Set(),
    staged: new Set(),
    inUse: new Map(),
  };

  async function mount(request: MountRequest, host: VolumeHost): Promise<string> {
    const { plan, dir } = request;
    if (plan.kind !== "csi") throw new VolumeError("not a CSI volume");
    const object = await driverObject(client, plan.driver);
    const isDue = object?.spec.requiresRepublish || expansionOf(plan) !== undefined;
    if (state.published.has(dir) && !isDue) return targetIn(dir);
    checkLifecycle(plan, object);
    if (isAttachable(plan, object) && !state.inUse.has(dir)) {
      state.inUse.set(dir, uniqueNameOf(plan));
      options.inUseChanged();
    }
    return state.hold(`${plan.driver}^${plan.handle}`, () => publish(state, { request, host, plan, object }));
  }

  const plugin = defineVolumePlugin({
    name: "csi",
    directoryName: "kubernetes.io~csi",
    live: true,
    needs: () => noNeeds,
    plan: (volume, _sources, context) => csiPlan(volume, context),
    inspect: async ({ dir }) => ({ mounted: state.published.has(dir) }),
    mount,
    unmount: (dir) => unpublish(state, dir),
    async rebuild(dir, host) {
      const path = targetIn(dir);
      return { path, mounted: await host.isMounted(path) };
    },
    usage: ({ dir }, host) => usageOf(drivers, dir, host),
  });

  return {
    plugin,
    volumesInUse: () => [...new Set(state.inUse.values())].sort(),
    removeOrphans: () => removeOrphans(state),
  };
}

async function driverObject(client: Client, name: string): Promise<DriverObject> {
  try {
    return await client.get(csiDrivers, { name });
  } catch (error) {
    if (isStatus(error, "NotFound")) return undefined;
    throw error;
  }
}

interface StatsAnswer {
  usage: readonly { unit: string; total: number; available: number; used: number }[];
}

async function usageOf(drivers: CsiDrivers, dir: string, host: VolumeHost): Promise<VolumeUsage> {
  const data = await readVolumeData(dir);
  if (!data) return { usedBytes: 0 };
  const driver = drivers.driver(data.driverName);
  if (!driver.capabilities.has("GET_VOLUME_STATS")) return host.fileSystemUsage(targetIn(dir));
  const asked = { volumeId: data.volumeHandle, volumePath: driver.pathFor(targetIn(dir)) };
  const { usage } = await driver.call<StatsAnswer>("NodeGetVolumeStats", asked);
  const bytes = usage.find(({ unit }) => unit === "BYTES");
  const inodes = usage.find(({ unit }) => unit === "INODES");
  return {
    usedBytes: bytes?.used ?? 0,
    ...(bytes ? { capacityBytes: bytes.total, availableBytes: bytes.available } : {}),
    ...(inodes ? { inodes: inodes.total, inodesFree: inodes.available, inodesUsed: inodes.used } : {}),
  };
}
