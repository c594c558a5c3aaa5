/**
 * Events live for an hour after their last change; nobody else deletes them.
 * https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/ (`--event-ttl`)
 */
import { events, type ResourceDefinition } from "#api";
import { StaleError, type Storage } from "./registry/storage.ts";

const lifetimeMs = 3600_000;
const sweepEveryMs = 60_000;
/** Deleted in one sweep; the rest waits for the next. */
const sweepMax = 10_000;

interface Seen {
  revision: number;
  atMs: number;
}

/** After a restart every Event has its hour again: when it was last changed is not stored. */
export function expireEvents(storage: Storage): { cancel(): void } {
  const definition = events as ResourceDefinition;
  const cache = storage.cache(definition);
  const { clock, log } = storage.world;
  /** By key, the one changed longest ago first. */
  const seen = new Map<string, Seen>();
  const note = (key: string, revision: number) => {
    seen.delete(key);
    seen.set(key, { revision, atMs: clock.now() });
  };
  for (const object of cache.scan("")) note(object.key, object.revision);
  const stop = cache.listen(({ key, current }) => {
    if (current) note(key, current.revision);
    else seen.delete(key);
  });
  const sweep = async () => {
    const deadline = clock.now() - lifetimeMs;
    let left = sweepMax;
    for (const [key, { revision, atMs }] of seen) {
      if (atMs > deadline || left-- === 0) return;
      const object = cache.get(key);
      if (object?.revision === revision) await storage.remove(definition, object).catch(ignoreStale);
    }
  };
  const timer = clock.every(sweepEveryMs, () => {
    sweep().catch((error) => log.warn({ err: error }, "expired Events stay until the next sweep"));
  });
  return {
    cancel: () => {
      timer.cancel();
      stop();
    },
  };
}

function ignoreStale(error: unknown): void {
  if (!(error instanceof StaleError)) throw error;
}
