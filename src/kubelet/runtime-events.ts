/**
 * What the runtime tells by itself: workers are woken at once, and the runtime is listed less often meanwhile.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/3386-kubelet-evented-pleg
 */
import { messageOf, type Timer } from "#base";
import type { ContainerEvent } from "#contracts";
import type { PodContext } from "./pod-context.ts";
import type { PodWorkers } from "./pod-workers.ts";

/** The runtime's own record follows its events by a moment. */
const afterEventMs = [5, 25, 100];
/** A stream that was refused ends sooner, and a busy runtime is done with what it told of. */
const settledMs = 5_000;
const retryMs = 1_000;

type Listed = Pick<PodWorkers, "relist" | "toldOfChanges">;

/** Listens until the signal aborts; what the runtime does not tell is found by listing it. */
export async function followRuntime(
  { world: { clock, log }, runtime }: Pick<PodContext, "world" | "runtime">,
  workers: Listed,
  signal: AbortSignal,
): Promise<void> {
  let events = 0;
  const look = async () => {
    for (let seen = -1; seen !== events && !signal.aborted; ) {
      seen = events;
      for (const delayMs of afterEventMs) {
        await clock.sleep(delayMs, signal);
        await workers.relist();
      }
    }
  };
  let looking: Promise<void> | undefined;
  let settled: Timer | undefined;
  /** For a while nothing is taken for told: what came before the stream was there, or is not on record yet. */
  const unsettle = () => {
    settled?.cancel();
    workers.toldOfChanges(false);
    settled = clock.after(settledMs, () => workers.toldOfChanges(true));
  };
  const take = ({ containerEventType }: ContainerEvent) => {
    if (containerEventType !== "CONTAINER_STOPPED_EVENT") return;
    events++;
    unsettle();
    looking ??= look()
      .catch((error: unknown) => log.debug({ error: messageOf(error) }, "the runtime did not list its pods"))
      .finally(() => {
        looking = undefined;
      });
  };
  while (!signal.aborted) {
    unsettle();
    try {
      for await (const event of runtime.containerEvents(signal)) take(event);
    } catch (error) {
      if (!signal.aborted) log.debug({ error: messageOf(error) }, "no events from the runtime");
    }
    settled?.cancel();
    workers.toldOfChanges(false);
    await clock.sleep(retryMs, signal);
  }
  await looking;
}
