/**
 * Components that act once in a cluster, however many servers share its store: whoever holds the Lease runs them.
 * https://kubernetes.io/docs/concepts/architecture/leases/#leader-election
 */
import { messageOf, type World } from "#base";
import { type Client, runAsLeader } from "#client";
import type { Running } from "./components.ts";

export interface LeadingOptions {
  world: World;
  client: Client;
  /** Of the Lease, which is the component's. */
  name: string;
  /** Of this server among the others. */
  identity: string;
}

const namespace = "kube-system";
const retryMs = 2_000;

/** Runs the component whenever this server leads; resolves at once. */
export function startAsLeader(
  { world, client, name, identity }: LeadingOptions,
  start: () => Promise<Running>,
): Running {
  const { clock, log } = world;
  const stopping = new AbortController();
  const { signal } = stopping;
  const lead = async (leading: AbortSignal) => {
    const running = await start();
    log.info({ name, identity }, "leads");
    await aborted(leading);
    await running.stop();
  };
  const done = (async () => {
    while (!signal.aborted) {
      try {
        await runAsLeader({ client, world, namespace, name, identity, signal }, lead);
      } catch (error) {
        log.warn({ name, error: messageOf(error) }, "cannot lead; it is tried again");
      }
      await clock.sleep(retryMs, signal);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await done;
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
