import fc from "fast-check";
import { expect, test } from "vitest";
import {
  configMaps,
  type corev1,
  dayOf,
  pods,
  secrets,
  serviceAccounts,
  serviceAccountTokenType,
  tokenTracking,
} from "#api";
import { testWorld } from "./kit/world.fixture.ts";
import { decide, legacyTokenCleanerController } from "./legacy-token-cleaner.ts";

const dayLengthMs = 24 * 3600_000;
const yearMs = 365 * dayLengthMs;
const created = "2022-01-01T00:00:00Z";
const at = (day: string) => Date.parse(`${day}T12:00:00Z`);

function stateOf(labels: Record<string, string> = {}, more: object = {}) {
  const metadata = { namespace: "default", name: "t", uid: "u", resourceVersion: "1" };
  const secret = {
    metadata: { ...metadata, creationTimestamp: created, labels },
    type: serviceAccountTokenType,
  } as corev1.Secret;
  return { secret, trackedSince: "2022-06-01", isAutomatic: true, isMounted: false, ...more };
}

const used = "kubernetes.io/legacy-token-last-used";
const invalid = "kubernetes.io/legacy-token-invalid-since";

test("a token is marked after a year without use, and goes after another one", () => {
  expect(decide(stateOf(), at("2023-06-01"))).toEqual({ kind: "wait" });
  expect(decide(stateOf(), at("2023-06-02"))).toEqual({ kind: "mark", day: "2023-06-02" });
  expect(decide(stateOf({ [used]: "2022-12-01" }), at("2023-07-01"))).toEqual({ kind: "wait" });
  expect(decide(stateOf({ [used]: "2022-05-01" }), at("2023-07-01")).kind).toBe("mark");
  expect(decide(stateOf({ [used]: "some day" }), at("2023-07-01")).kind).toBe("wait");
  expect(decide(stateOf({ [invalid]: "2023-06-02" }), at("2024-06-01")).kind).toBe("wait");
  expect(decide(stateOf({ [invalid]: "2023-06-02" }), at("2024-06-02")).kind).toBe("remove");
  expect(decide(stateOf({ [invalid]: "x" }), at("2024-06-02")).kind).toBe("mark");
  for (const kept of [{ isAutomatic: false }, { isMounted: true }, { trackedSince: undefined }])
    expect(decide(stateOf({}, kept), at("2030-01-01")).kind).toBe("wait");
});

test("nothing that was used or made within the year is marked or goes", () => {
  const day = fc.integer({ min: 0, max: 4_000 }).map((n) => dayOf(Date.parse(created) + n * dayLengthMs));
  const property = fc.property(day, day, fc.option(day), (now, lastUsed, marked) => {
    const labels = { [used]: lastUsed, ...(marked ? { [invalid]: marked } : {}) };
    const plan = decide(stateOf(labels), at(now));
    if (plan.kind !== "wait") expect(at(now) - at(lastUsed)).toBeGreaterThan(yearMs - dayLengthMs);
    if (plan.kind === "remove") expect(at(now) - at(marked!)).toBeGreaterThan(yearMs - dayLengthMs);
  });
  fc.assert(property);
});

test("in a cluster: the one that its account names and no pod uses is marked, then goes", async () => {
  const world = testWorld();
  const running = await world.run(legacyTokenCleanerController.name);
  const token = (name: string) =>
    world.create(secrets, {
      metadata: {
        namespace: "default",
        name,
        annotations: { "kubernetes.io/service-account.name": "default" },
      },
      type: serviceAccountTokenType,
    });
  await world.create(serviceAccounts, {
    metadata: { namespace: "default", name: "default" },
    secrets: [{ name: "automatic" }, { name: "mounted" }],
  });
  for (const name of ["automatic", "mounted", "by-hand"]) await token(name);
  await world.create(pods, {
    metadata: { namespace: "default", name: "user" },
    spec: { containers: [], volumes: [{ name: "v", secret: { secretName: "mounted" } }] },
  });
  await world.create(configMaps, {
    metadata: tokenTracking,
    data: { since: dayOf(world.clock.now()) },
  });
  const states = async () => {
    const { items } = await world.client.list(secrets);
    return items
      .map(({ metadata }) => [metadata.name, metadata.labels?.[invalid] !== undefined] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1));
  };
  for (let days = 0; days < 370; days++) await world.clock.advance(dayLengthMs);
  expect(await states()).toEqual([
    ["automatic", true],
    ["by-hand", false],
    ["mounted", false],
  ]);
  for (let days = 0; days < 370; days++) await world.clock.advance(dayLengthMs);
  expect((await states()).map(([name]) => name)).toEqual(["by-hand", "mounted"]);
  await running.stop();
});
