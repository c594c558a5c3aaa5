/**
 * How the devices of claims are, as their drivers tell: a stream of each driver that has one. What nobody has told of for a
 * while is unknown. https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#device-health-monitoring
 */
import type { corev1 } from "#api";
import { messageOf, type World } from "#base";
import { connectPlugin, PluginError } from "../plugins/grpc.ts";

/** As the interface's own description has them. */
export const healthMessages = {
  NodeWatchResourcesRequest: { fields: {} },
  NodeWatchResourcesResponse: { fields: { devices: { rule: "repeated", type: "DeviceHealth", id: 1 } } },
  DeviceHealth: {
    fields: {
      device: { type: "DeviceIdentifier", id: 1 },
      health: { type: "HealthStatus", id: 2 },
      lastUpdatedTime: { type: "int64", id: 3 },
      healthCheckTimeoutSeconds: { type: "int64", id: 4 },
      message: { type: "string", id: 5 },
    },
  },
  DeviceIdentifier: {
    fields: { poolName: { type: "string", id: 1 }, deviceName: { type: "string", id: 2 } },
  },
  HealthStatus: { values: { UNKNOWN: 0, HEALTHY: 1, UNHEALTHY: 2 } },
};

export const healthMethods = {
  watch: [
    "/v1alpha1.DRAResourceHealth/NodeWatchResources",
    "NodeWatchResourcesRequest",
    "NodeWatchResourcesResponse",
  ],
} as const;

export interface ToldHealth {
  device?: { poolName: string; deviceName: string };
  health: "UNKNOWN" | "HEALTHY" | "UNHEALTHY";
  healthCheckTimeoutSeconds: number;
  message: string;
}

type Health = Omit<corev1.ResourceHealth, "resourceID">;

interface Known extends Health {
  untilMs: number;
}

export interface DeviceRef {
  driver: string;
  poolName: string;
  deviceName: string;
}

export interface ClaimHealth {
  /** Listens to the driver until `forget`, again and again. */
  follow(driver: string, socketPath: string): void;
  forget(driver: string): void;
  of(device: DeviceRef): Health;
}

const devicesMax = 10_000;
const messageMaxLength = 1024;
const timeoutByDefaultS = 30;
const againAfterMs = 5_000;
const words = { HEALTHY: "Healthy", UNHEALTHY: "Unhealthy", UNKNOWN: "Unknown" } as const;
const unknown: Health = { health: "Unknown" };

function shortened(message: string): string {
  return message.length > messageMaxLength ? `${message.slice(0, messageMaxLength - 3)}...` : message;
}

/** `changed`: of a driver's devices, with the driver's name. */
export function createClaimHealth(
  { clock, log }: Pick<World, "clock" | "log">,
  changed: (driver: string) => void,
): ClaimHealth {
  const drivers = new Map<string, { devices: Map<string, Known>; ending: AbortController }>();
  const keyOf = ({ poolName, deviceName }: Omit<DeviceRef, "driver">) => `${poolName}/${deviceName}`;

  function take(devices: Map<string, Known>, told: readonly ToldHealth[]): boolean {
    let isNews = false;
    for (const { device, health, healthCheckTimeoutSeconds: seconds, message } of told) {
      if (!device) continue;
      const key = keyOf(device);
      const before = devices.get(key);
      if (!before && devices.size >= devicesMax) continue;
      const untilMs = clock.monotonic() + (seconds > 0 ? seconds : timeoutByDefaultS) * 1000;
      const now = {
        health: words[health] ?? words.UNKNOWN,
        ...(message ? { message: shortened(message) } : {}),
        untilMs,
      };
      isNews ||= before?.health !== now.health || before.message !== now.message;
      devices.set(key, now);
    }
    return isNews;
  }

  async function listen(driver: string, socketPath: string, signal: AbortSignal): Promise<void> {
    const messages = { nested: healthMessages };
    const connection = connectPlugin({ socketPath, clock, methods: healthMethods, messages });
    const devices = drivers.get(driver)!.devices;
    const heard = ({ devices: told }: { devices: ToldHealth[] }) => {
      if (take(devices, told)) changed(driver);
    };
    try {
      await connection.watch("watch", {}, heard, signal);
    } finally {
      connection.close();
      const hadSome = devices.size > 0;
      devices.clear();
      if (hadSome) changed(driver);
    }
  }

  async function listenAgainAndAgain(driver: string, socketPath: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await listen(driver, socketPath, signal);
      } catch (error) {
        // Telling is left to each driver.
        if (error instanceof PluginError && error.code === "Unimplemented") return;
        log.warn({ driver, error: messageOf(error) }, "a driver no longer tells how its devices are");
      }
      await clock.sleep(againAfterMs, signal);
    }
  }

  function forget(driver: string): void {
    drivers.get(driver)?.ending.abort();
    drivers.delete(driver);
  }

  return {
    follow(driver, socketPath) {
      forget(driver);
      const ending = new AbortController();
      drivers.set(driver, { devices: new Map(), ending });
      void listenAgainAndAgain(driver, socketPath, ending.signal);
    },
    forget,
    of(device) {
      const known = drivers.get(device.driver)?.devices.get(keyOf(device));
      if (!known || known.untilMs < clock.monotonic()) return unknown;
      const { untilMs: _, ...health } = known;
      return health;
    },
  };
}
