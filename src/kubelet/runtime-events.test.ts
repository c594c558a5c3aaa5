import { expect, test } from "vitest";
import { Channel, createWorld, VirtualClock } from "#base";
import type { ContainerEvent, ContainerRuntime } from "#contracts";
import { followRuntime } from "./runtime-events.ts";

const stopped = { containerEventType: "CONTAINER_STOPPED_EVENT" } as ContainerEvent;

/** A runtime whose streams of events are in the test's hands, and what the workers hear of it. */
function fixture() {
  const clock = new VirtualClock();
  const streams: Channel<ContainerEvent>[] = [];
  const runtime = {
    containerEvents(signal: AbortSignal) {
      const stream = new Channel<ContainerEvent>(100);
      streams.push(stream);
      signal.addEventListener("abort", () => stream.close());
      return stream;
    },
  } as unknown as ContainerRuntime;
  const heard = { isTold: false, relists: 0 };
  const workers = {
    relist: async () => void heard.relists++,
    toldOfChanges: (is: boolean) => {
      heard.isTold = is;
    },
  };
  const ending = new AbortController();
  const following = followRuntime({ world: createWorld({ clock }), runtime }, workers, ending.signal);
  return {
    clock,
    streams,
    heard,
    async stop() {
      ending.abort();
      await clock.advance(1_000);
      await following;
    },
  };
}

test("a runtime that tells of changes is asked less often, but not while it is busy with one", async () => {
  const { clock, streams, heard, stop } = fixture();
  expect(heard.isTold).toBe(false);
  await clock.advance(5_000);
  expect(heard).toEqual({ isTold: true, relists: 0 });
  streams[0]!.push(stopped);
  await clock.advance(1_000);
  expect(heard.isTold).toBe(false);
  expect(heard.relists).toBeGreaterThan(0);
  await clock.advance(4_000);
  expect(heard.isTold).toBe(true);
  await stop();
});

test("without the stream the runtime is asked again and again, until it is back and has settled", async () => {
  const { clock, streams, heard, stop } = fixture();
  await clock.advance(5_000);
  streams[0]!.close(new Error("gone"));
  await clock.advance(500);
  expect(heard.isTold).toBe(false);
  await clock.advance(500);
  expect(streams.length).toBe(2);
  await clock.advance(4_000);
  expect(heard.isTold).toBe(false);
  await clock.advance(1_000);
  expect(heard.isTold).toBe(true);
  await stop();
});
