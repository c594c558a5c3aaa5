import { expect, test } from "vitest";
import { configMaps } from "#api";
import { Rate, VirtualClock } from "#base";
import { createClient } from "./client.ts";
import { limitedClient } from "./limited.ts";
import { FakeApi } from "./testing/fake-api.ts";

test("requests wait for their turn, and are sent as whoever asks", async () => {
  const clock = new VirtualClock();
  const client = limitedClient(createClient(new FakeApi(clock), { userAgent: "me" }), new Rate(clock, 1, 2));
  expect(client.userAgent).toBe("me");
  let answered = 0;
  for (let i = 0; i < 4; i++) void client.list(configMaps, { namespace: "default" }).then(() => answered++);
  await clock.advance(1);
  expect(answered).toBe(2);
  await clock.advance(1000);
  expect(answered).toBe(3);
  await clock.advance(1000);
  expect(answered).toBe(4);
});

test("what is given up while it waits is not sent", async () => {
  const clock = new VirtualClock();
  const client = limitedClient(createClient(new FakeApi(clock)), new Rate(clock, 1, 1));
  await client.list(configMaps, { namespace: "default" });
  const ending = new AbortController();
  const waiting = client.list(configMaps, { namespace: "default", signal: ending.signal });
  ending.abort();
  await expect(waiting).rejects.toThrow();
});
