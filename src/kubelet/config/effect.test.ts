import { expect, test } from "vitest";
import { configMaps } from "#api";
import { createLogger, createWorld, silentLogger, VirtualClock } from "#base";
import { createClient, FakeApi } from "#client";
import { clientFor, podSettings, worldFor } from "./effect.ts";
import { defaultConfig } from "./settings.ts";

test("what looks after pods asks as often as it may", async () => {
  const clock = new VirtualClock();
  const world = createWorld({ clock, log: silentLogger });
  const client = createClient(new FakeApi(clock));
  expect(clientFor(client, defaultConfig, world)).toBe(client);
  const limited = clientFor(client, { kubeApiQps: 1, kubeApiBurst: 1 }, world);
  let answers = 0;
  for (let i = 0; i < 3; i++) void limited.list(configMaps).then(() => answers++);
  await clock.advance(1000);
  expect(answers).toBe(2);
});

test("the log tells more where more is asked for, and never less", () => {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const say = (level: "info" | "debug", verbosity: number) => {
    const log = createLogger({ level, destination });
    const logging = { format: "json", verbosity };
    worldFor(createWorld({ log }), { logging }).log.debug(`${level} ${verbosity}`);
  };
  say("info", 0);
  say("info", 3);
  say("info", 4);
  say("debug", 0);
  const told = lines.map((line) => JSON.parse(line));
  expect(told.map(({ msg }) => msg)).toEqual(["info 4", "debug 0"]);
  expect(told[0]).toMatchObject({ component: "kubelet" });
});

test("every pod's restarts and processes are held to what is set", () => {
  const settings = podSettings("/data", { ...defaultConfig, crashBackoffMaxMs: 2000, podPidsLimit: 7 });
  settings.crashes.next("a", 0, 0);
  expect(settings.crashes.remainingMs("a", 0, 0)).toBe(2000);
  expect(settings.podPidsLimit).toBe(7);
  expect(podSettings("/data", defaultConfig).podPidsLimit).toBe(0);
});
