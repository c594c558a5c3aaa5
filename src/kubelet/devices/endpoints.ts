/** The device plugins of this node, by the resource that each offers. */
import type { World } from "#base";
import type { PluginHandler } from "../plugins/watcher.ts";
import { connectDevicePlugin, type Endpoint, type PluginOptions } from "./endpoint.ts";
import { isResourceName } from "./registration.ts";

export interface Endpoints {
  /** Undefined where no plugin has ever offered the resource; without an endpoint: not since this kubelet began. */
  find(resource: string): { endpoint: Endpoint | undefined } | undefined;
  register(resource: string, socketPath: string, plugin: PluginOptions | undefined): Promise<void>;
  /** Resources that an earlier kubelet knew: there is none of them until their plugin comes again. */
  remember(resources: readonly string[]): void;
  resources(): string[];
  /** Plugins that are there. */
  all(): Endpoint[];
  capacity(): Record<string, string>;
  allocatable(): Record<string, string>;
  /** Those that make themselves known in `plugins_registry`. */
  readonly handler: PluginHandler;
  stop(): void;
}

/** A plugin that is updated is gone for a moment; so long its devices count in the node's capacity. */
const endedGraceMs = 5 * 60_000;
const resourcesMax = 256;

export function createEndpoints({ world, changed }: { world: World; changed(): void }): Endpoints {
  const { clock, log } = world;
  const slots = new Map<string, { endpoint: Endpoint | undefined; endedMs: number }>();

  async function register(
    resource: string,
    socketPath: string,
    options: PluginOptions | undefined,
  ): Promise<void> {
    if (!slots.has(resource) && slots.size >= resourcesMax)
      throw new Error("this node has too many kinds of devices");
    const ended = (gone: Endpoint) => {
      const known = slots.get(resource);
      if (known?.endpoint === gone) known.endedMs = clock.monotonic();
      changed();
    };
    const endpoint = await connectDevicePlugin({ world, resource, socketPath, options, changed, ended });
    const before = slots.get(resource)?.endpoint;
    slots.set(resource, { endpoint, endedMs: Number.POSITIVE_INFINITY });
    before?.stop();
    log.info({ resource }, "a device plugin is there");
  }

  function counted(of: (endpoint: Endpoint) => number): Record<string, string> {
    return Object.fromEntries(
      [...slots].map(([resource, { endpoint, endedMs }]) => {
        const isGone = clock.monotonic() - endedMs > endedGraceMs;
        return [resource, String(endpoint && !isGone ? of(endpoint) : 0)];
      }),
    );
  }

  return {
    find: (resource) => slots.get(resource),
    register,
    remember(resources) {
      for (const resource of resources.slice(0, resourcesMax))
        slots.set(resource, { endpoint: undefined, endedMs: clock.monotonic() });
    },
    resources: () => [...slots.keys()],
    all: () => [...slots.values()].flatMap(({ endpoint }) => (endpoint ? [endpoint] : [])),
    capacity: () => counted(({ devices }) => devices.size),
    allocatable: () => counted(({ devices }) => [...devices.values()].filter(Boolean).length),
    handler: {
      async register({ name, endpoint, supportedVersions }) {
        if (!isResourceName(name)) throw new Error(`the ResourceName "${name}" is invalid`);
        if (!supportedVersions.includes("v1beta1"))
          throw new Error(`the API versions ${supportedVersions.join(", ")} are not supported`);
        await register(name, endpoint, undefined);
      },
      async deregister({ name }) {
        slots.get(name)?.endpoint?.stop();
      },
    },
    stop() {
      for (const { endpoint } of slots.values()) endpoint?.stop();
    },
  };
}
