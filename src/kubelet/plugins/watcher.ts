/**
 * Finds plugins by the sockets they put into `plugins_registry`, asks each what it is, and tells it whether it was taken.
 * https://github.com/kubernetes/kubernetes/tree/master/pkg/kubelet/pluginmanager
 */
import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { messageOf, type World } from "#base";
import { registrationMessages, registrationMethods } from "../generated/plugins.ts";
import { connectPlugin } from "./grpc.ts";

/** What a plugin says of itself. */
export interface PluginInfo {
  /** `CSIPlugin`, `DRAPlugin` or `DevicePlugin`. */
  type: string;
  name: string;
  /** Where its service listens. */
  endpoint: string;
  supportedVersions: readonly string[];
}

export interface PluginHandler {
  /** Throws with the reason why the plugin is not taken. */
  register(plugin: PluginInfo): Promise<void>;
  deregister(plugin: PluginInfo): Promise<void>;
}

export interface PluginWatcher {
  /** Looks now: for tests. */
  scan(): Promise<void>;
  stop(): Promise<void>;
}

export interface PluginWatcherOptions {
  /** The folder `plugins_registry`. */
  dir: string;
  world: World;
  /** By the type of plugin. */
  handlers: Readonly<Record<string, PluginHandler>>;
}

interface Known {
  /** A socket that was made anew is a plugin that was started anew. */
  stamp: string;
  plugin: PluginInfo | undefined;
  /** Refused or silent ones are asked again, ever less often. */
  againAtMs: number;
  failures: number;
}

const scanMs = 1_000;
const askTimeoutMs = 10_000;
const retryMinMs = 500;
const retryMaxMs = 2 * 60_000;
/** More sockets than any node has plugins. */
const socketsMax = 256;

const messages = {
  nested: { pluginregistration: { nested: registrationMessages } },
};

/** Sockets of the folder and of the folders in it, by what tells one from its successor. */
async function socketsIn(dir: string, deeper = true): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (entry.name.startsWith(".") || found.size >= socketsMax) continue;
    const path = join(dir, entry.name);
    if (entry.isDirectory() && deeper) for (const each of await socketsIn(path, false)) found.set(...each);
    if (!entry.isSocket()) continue;
    const info = await stat(path).catch(() => undefined);
    if (info) found.set(path, `${info.ino}/${info.ctimeMs}`);
  }
  return found;
}

export function startPluginWatcher({ dir, world, handlers }: PluginWatcherOptions): PluginWatcher {
  const { clock, log } = world;
  const known = new Map<string, Known>();
  const visits = new Map<string, Promise<void>>();
  const ending = new AbortController();

  async function greet(socketPath: string): Promise<PluginInfo> {
    const connection = connectPlugin({ socketPath, clock, methods: registrationMethods, messages });
    try {
      const info = await connection.call<PluginInfo>("GetInfo", {}, askTimeoutMs);
      // As upstream: without an endpoint the service listens where the plugin registers.
      const plugin = { ...info, endpoint: resolve(info.endpoint || socketPath) };
      const handler = Object.hasOwn(handlers, plugin.type) ? handlers[plugin.type] : undefined;
      let error = handler
        ? ""
        : `no handler registered for plugin type: ${plugin.type} at socket ${socketPath}`;
      await handler?.register(plugin).catch((cause: unknown) => {
        error = messageOf(cause) || "refused";
      });
      const told = { pluginRegistered: error === "", error };
      await connection.call("NotifyRegistrationStatus", told, askTimeoutMs);
      if (error) throw new Error(error);
      return plugin;
    } finally {
      connection.close();
    }
  }

  async function ask(path: string, stamp: string): Promise<void> {
    const before = known.get(path);
    if (before?.stamp === stamp && (before.plugin || clock.monotonic() < before.againAtMs)) return;
    const failures = before?.stamp === stamp ? before.failures + 1 : 0;
    try {
      known.set(path, { stamp, plugin: await greet(path), againAtMs: 0, failures: 0 });
    } catch (error) {
      log.warn({ path, error: messageOf(error) }, "a plugin could not be registered");
      const waitMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(failures, 16));
      known.set(path, { stamp, plugin: undefined, againAtMs: clock.monotonic() + waitMs, failures });
    }
  }

  /** Each is asked by itself: one that does not answer holds up none of the others. */
  function visit(path: string, stamp: string): void {
    if (visits.has(path)) return;
    const visiting = ask(path, stamp).finally(() => visits.delete(path));
    visits.set(path, visiting);
  }

  async function look(): Promise<void> {
    const sockets = await socketsIn(dir);
    for (const [path, { plugin }] of [...known]) {
      if (sockets.has(path)) continue;
      known.delete(path);
      // Another socket may have taken its place meanwhile.
      const isThere = [...known.values()].some((each) => each.plugin?.name === plugin?.name);
      if (plugin && !isThere) await handlers[plugin.type]?.deregister(plugin);
    }
    for (const [path, stamp] of sockets) visit(path, stamp);
  }

  async function loop(): Promise<void> {
    while (!ending.signal.aborted) {
      await look().catch((error: unknown) =>
        log.warn({ error: messageOf(error) }, "plugins could not be looked for"),
      );
      await clock.sleep(scanMs, ending.signal);
    }
  }

  const looping = loop();
  return {
    async scan() {
      await look();
      await Promise.all(visits.values());
    },
    async stop() {
      ending.abort();
      await looping;
    },
  };
}
