import { expect, test } from "vitest";
import { namespaces } from "#api";
import { createWorld, silentLogger, VirtualClock } from "#base";
import { createClient, createInformers, FakeApi } from "#client";
import { after, defineController } from "./define-controller.ts";
import { runController } from "./run-controller.ts";

test("a round that asks for the next at once leaves time for everything else", async () => {
  const clock = new VirtualClock();
  const world = createWorld({ clock, log: silentLogger });
  const client = createClient(new FakeApi(clock));
  const informers = createInformers(client, world);
  let rounds = 0;
  const restless = defineController<object, object>({
    name: "restless",
    primary: namespaces,
    startKeys: ["a"],
    concurrency: 1,
    rules: [],
    observe: () => ({}),
    decide: () => ({}),
    act: async () => {
      rounds++;
      return after(0);
    },
  });
  const running = runController(restless, { client, world, informers, options: {} });
  const stop = new AbortController();
  informers.start(stop.signal);
  await clock.advance(1000);
  expect(rounds).toBeGreaterThan(1);
  expect(rounds).toBeLessThan(100);
  stop.abort();
  await running.stop();
});
