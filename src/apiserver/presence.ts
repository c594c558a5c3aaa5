/** A server in its cluster: what the cluster has from its first moment, and that this server is there, are kept true. */
import { type BootstrapOptions, bootstrap, ensureEndpoints } from "./bootstrap.ts";
import type { Registry } from "./registry/context.ts";
import { renewEveryMs, ServerIdentity } from "./server-identity.ts";

export interface Presence {
  /** Others need not wait to learn that this server goes. Never rejects. */
  end(): Promise<void>;
}

export interface PresenceOptions extends Omit<BootstrapOptions, "servers" | "port" | "components"> {
  /** Where nodes and pods reach this server. */
  advertiseAddress: string;
  components?: BootstrapOptions["components"];
}

const bootstrapEveryMs = 30_000;

/** `port`: absent without sockets. */
export async function appear(
  registry: Registry,
  options: PresenceOptions,
  port: number | undefined,
): Promise<Presence> {
  const { advertiseAddress: ip, components = [] } = options;
  const identity = port === undefined ? undefined : new ServerIdentity(registry, { ip, port });
  const servers = identity ? { servers: () => identity.servers() } : {};
  const cluster = { ...options, components, port, ...servers };
  await bootstrap(registry, cluster);
  const timers = [keepBootstrapped(registry, cluster)];
  if (identity) timers.push(keepIdentity(registry, identity));
  return {
    async end() {
      for (const timer of timers) timer.cancel();
      if (identity) await leave(registry, identity);
    },
  };
}

/** Brings back what somebody deleted or changed of it; writes nothing while all is well. */
function keepBootstrapped(registry: Registry, cluster: BootstrapOptions): { cancel(): void } {
  const { clock, log } = registry.world;
  return clock.every(bootstrapEveryMs, () => {
    bootstrap(registry, cluster).catch((error) =>
      log.warn({ err: error }, "the kubernetes Service could not be kept; it is tried again"),
    );
  });
}

/** The kubernetes Service follows servers that come and go. */
function keepIdentity(registry: Registry, identity: ServerIdentity): { cancel(): void } {
  const { clock, log } = registry.world;
  return clock.every(renewEveryMs, () => {
    identity
      .servers()
      .then((servers) => ensureEndpoints(registry, servers))
      .catch((error) => log.warn({ err: error }, "the server's Lease was not renewed; it is tried again"));
  });
}

async function leave(registry: Registry, identity: ServerIdentity): Promise<void> {
  try {
    const others = await identity.leave();
    if (others) await ensureEndpoints(registry, others);
  } catch (error) {
    registry.world.log.debug({ err: error }, "the other servers learn by themselves that this one is gone");
  }
}
