import { expect, test } from "vitest";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient } from "./client.ts";
import { runAsLeader } from "./leader-election.ts";
import { FakeApi } from "./testing/fake-api.ts";

function contender(api: FakeApi, clock: VirtualClock, identity: string, log: string[]) {
  const world = createWorld({ clock, random: seededRandom(identity.length), log: silentLogger });
  const stop = new AbortController();
  const done = runAsLeader(
    { client: createClient(api), world, namespace: "kube-system", name: "c", identity, signal: stop.signal },
    async (signal) => {
      log.push(`${identity} leads`);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      log.push(`${identity} stops`);
    },
  );
  return { stop, done };
}

test("one leads; when it gives up, the other follows soon", async () => {
  const clock = new VirtualClock();
  const api = new FakeApi(clock);
  const log: string[] = [];
  const first = contender(api, clock, "a", log);
  await clock.advance(100);
  const second = contender(api, clock, "bb", log);
  await clock.advance(60_000);
  expect(log).toEqual(["a leads"]);
  first.stop.abort();
  await clock.advance(10_000);
  expect(log).toEqual(["a leads", "a stops", "bb leads"]);
  second.stop.abort();
  await clock.advance(1);
  await Promise.all([first.done, second.done]);
});

test("a leader that cannot renew stops before another may lead", async () => {
  const clock = new VirtualClock();
  const api = new FakeApi(clock);
  const log: string[] = [];
  const { done } = contender(api, clock, "a", log);
  await clock.advance(100);
  api.fault = () => new Error("connection refused");
  await clock.advance(15_000);
  expect(log).toEqual(["a leads", "a stops"]);
  await done;
});

test("work that fails ends the leadership: the next one need not wait", async () => {
  const clock = new VirtualClock();
  const api = new FakeApi(clock);
  const log: string[] = [];
  const world = createWorld({ clock, random: seededRandom(1), log: silentLogger });
  const [namespace, name, signal] = ["kube-system", "c", new AbortController().signal];
  const failing = runAsLeader(
    { client: createClient(api), world, namespace, name, identity: "a", signal },
    () => Promise.reject(new Error("broken")),
  );
  await Promise.all([expect(failing).rejects.toThrow("broken"), clock.advance(100)]);
  const second = contender(api, clock, "bb", log);
  await clock.advance(100);
  expect(log).toEqual(["bb leads"]);
  second.stop.abort();
  await clock.advance(1);
  await second.done;
});
