import { expect, test } from "vitest";
import { configMaps, pods } from "#api";
import { createWorld, silentLogger, VirtualClock } from "#base";
import { createClient, createInformers, FakeApi } from "#client";
import { Expectations } from "./expectations.ts";

/** A cache that stands still while its controller writes and answers are lost. */
async function worldWithStaleCache() {
  const clock = new VirtualClock();
  const api = new FakeApi(clock);
  const client = createClient(api);
  const informers = createInformers(client, createWorld({ clock, log: silentLogger }));
  const all = [informers.of(configMaps), informers.of(pods)];
  const expectations = new Expectations(clock, all);
  const stop = new AbortController();
  await client.create(configMaps, { metadata: { namespace: "default", name: "old" } });
  const begin = async () => {
    informers.start(stop.signal);
    await clock.advance(10);
  };
  api.losesAnswer = ({ method }) => method !== "GET";
  return {
    client,
    tracked: expectations.tracking(client, "key"),
    expectations,
    begin,
    end: () => stop.abort(),
  };
}

test("a write without an answer holds up the next round until the cache has seen what became of it", async () => {
  const { client, tracked, expectations, begin, end } = await worldWithStaleCache();
  const metadata = { namespace: "default", name: "made" };
  await expect(tracked.create(configMaps, { metadata })).rejects.toThrow("the connection was lost");
  await expectations.inquire("key", client);
  expect(expectations.satisfied("key")).toBe(false);
  await begin();
  expect(expectations.satisfied("key")).toBe(true);
  end();
});

test("objects that the server names are found by their labels", async () => {
  const { client, tracked, expectations, begin, end } = await worldWithStaleCache();
  const draft = {
    metadata: { namespace: "default", generateName: "p-", labels: { a: "b" } },
    spec: { containers: [] },
  };
  await expect(tracked.create(pods, draft)).rejects.toThrow("the connection was lost");
  await expectations.inquire("key", client);
  expect(expectations.satisfied("key")).toBe(false);
  await begin();
  expect(expectations.satisfied("key")).toBe(true);
  end();
});
