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
  key: string;
  revision: number;
  atMs: number;
}

/** After a restart every Event has its hour again: when it was last changed is not stored. */
export function expireEvents(storage: Storage): { cancel(): void } {
  const definition = events as ResourceDefinition;
  const cache = storage.cache(definition);
  const { clock, log } = storage.world;
  let seen: Seen[] = [];
  const note = (key: string, revision: number) => seen.push({ key, revision, atMs: clock.now() });
  for (const object of cache.scan("")) note(object.key, object.revision);
  const stop = cache.listen(({ key, current }) => {
    if (current) note(key, current.revision);
  });
  const sweep = async () => {
    const deadline = clock.now() - lifetimeMs;
    let due = seen.findIndex((one) => one.atMs > deadline);
    if (due < 0) due = seen.length;
    const expired = seen.slice(0, Math.min(due, sweepMax));
    seen = seen.slice(expired.length);
    for (const { key, revision } of expired) {
      const object = cache.get(key);
      // Changed since: a later entry stands for it.
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
