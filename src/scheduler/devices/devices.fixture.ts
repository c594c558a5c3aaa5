/** Slices, classes and claims for tests. */
import type { Draft, resourcev1 } from "#api";
import { DevicePools } from "./pools.ts";
import type { DeviceWorld } from "./search.ts";
import { TakenDevices } from "./taken-devices.ts";

export const driver = "gpu.example.com";
const meta = (name: string) => ({ name, uid: name, resourceVersion: "1", creationTimestamp: "" });

export function sliceOf(
  name: string,
  spec: Draft<resourcev1.ResourceSliceSpec>,
  pool: Partial<resourcev1.ResourcePool> = {},
): resourcev1.ResourceSlice {
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceSlice",
    metadata: meta(name),
    spec: { driver, pool: { name: "pool", generation: 1, resourceSliceCount: 1, ...pool }, ...spec },
  } as resourcev1.ResourceSlice;
}

export function classOf(name: string, expression?: string): resourcev1.DeviceClass {
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "DeviceClass",
    metadata: meta(name),
    spec: { selectors: expression ? [{ cel: { expression } }] : [] },
  };
}

export function claimOf(name: string, devices: Draft<resourcev1.DeviceClaim>): resourcev1.ResourceClaim {
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: { ...meta(name), namespace: "default" },
    spec: { devices: devices as resourcev1.DeviceClaim },
    status: {},
  };
}

export function exactly(name: string, more: Partial<resourcev1.ExactDeviceRequest> = {}) {
  return { name, exactly: { deviceClassName: "gpu", allocationMode: "ExactCount", count: 1, ...more } };
}

export function deviceWorld(
  slices: readonly resourcev1.ResourceSlice[],
  classes: readonly resourcev1.DeviceClass[] = [classOf("gpu")],
): DeviceWorld & { taken: TakenDevices } {
  const pools = new DevicePools();
  for (const slice of slices) pools.set(slice);
  return {
    pools,
    taken: new TakenDevices(),
    taintRules: [],
    deviceClass: (name) => classes.find(({ metadata }) => metadata.name === name),
  };
}
