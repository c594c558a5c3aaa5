/** A quota under many hands at once: never overshot, never leaking, on the whole control plane. */
import { expect, test } from "vitest";
import {
  isStatus,
  pods,
  quantityMilliValue,
  replicationControllers,
  resourceQuotas,
  serviceAccounts,
} from "#api";
import { seededRandom } from "#base";
import type { Client } from "#client";
import { eventually, start } from "./fixtures/embedded.ts";

const namespace = "default";
const most = { pods: 5, cpuMillis: 1_000 };

async function used(client: Client) {
  const { items } = await client.list(pods, { namespace });
  const cpu = items.map(({ spec }) => quantityMilliValue(spec.containers[0]?.resources?.requests?.cpu));
  return {
    names: items.map(({ metadata }) => metadata.name),
    cpuMillis: cpu.reduce((sum, each) => sum + each, 0),
  };
}

function create(client: Client, name: string, millis: number): Promise<unknown> {
  const resources = { requests: { cpu: `${millis}m` } };
  const spec = { terminationGracePeriodSeconds: 0, containers: [{ name: "c", image: "web:1", resources }] };
  return client.create(pods, { metadata: { namespace, name }, spec });
}

/** What quotas and races refuse is refused; anything else is a fault. */
async function tried(work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!["Forbidden", "NotFound", "Conflict"].some((reason) => isStatus(error, reason as "Forbidden")))
      throw error;
  });
}

for (const seed of [1, 2, 3])
  test(`whatever is created and deleted at the same time, with seed ${seed}`, async () => {
    const { client } = await start(1);
    const random = seededRandom(seed);
    await eventually(async () => {
      await client.get(serviceAccounts, { namespace, name: "default" });
    });
    const hard = { pods: String(most.pods), "requests.cpu": `${most.cpuMillis}m` };
    await client.create(resourceQuotas, { metadata: { namespace, name: "few" }, spec: { hard } });
    const quota = () => client.get(resourceQuotas, { namespace, name: "few" });
    await eventually(async () => {
      expect((await quota()).status?.hard).toEqual({ pods: "5", "requests.cpu": "1" });
    });
    let count = 0;
    for (let round = 0; round < 12; round++) {
      const { names } = await used(client);
      const gone = names.filter(() => random.float() < 0.5);
      const made = Array.from({ length: 8 }, () => create(client, `p${count++}`, 50 * (1 + random.int(8))));
      const deleted = gone.map((name) => client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0 }));
      await Promise.all([...made, ...deleted].map(tried));
      const now = await used(client);
      expect(now.names.length).toBeLessThanOrEqual(most.pods);
      expect(now.cpuMillis).toBeLessThanOrEqual(most.cpuMillis);
    }
    for (const name of (await used(client)).names)
      await tried(client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0 }));
    await eventually(async () => {
      expect((await quota()).status?.used).toEqual({ pods: "0", "requests.cpu": "0" });
    });
    for (let i = 0; i < most.pods; i++) await create(client, `last${i}`, 200);
    await expect(create(client, "one-too-many", 1)).rejects.toThrow("exceeded quota: few");
  });

test("a count that is behind does not take back what was just charged", async () => {
  const { client } = await start(1);
  await eventually(async () => {
    await client.get(serviceAccounts, { namespace, name: "default" });
  });
  const labels = { app: "many" };
  const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "web:1" }] } };
  for (let i = 0; i < 5; i++) {
    const name = `round-${i}`;
    await client.create(resourceQuotas, { metadata: { namespace, name }, spec: { hard: { pods: "2" } } });
    await eventually(async () => {
      const { status } = await client.get(resourceQuotas, { namespace, name });
      expect(status?.used).toEqual({ pods: "0" });
    });
    await client.create(replicationControllers, {
      metadata: { namespace, name },
      spec: { replicas: 4, selector: labels, template },
    });
    await eventually(async () => {
      const { status } = await client.get(replicationControllers, { namespace, name });
      expect(status?.conditions).toMatchObject([{ type: "ReplicaFailure", status: "True" }]);
    });
    expect((await used(client)).names).toHaveLength(2);
    await client.delete(replicationControllers, { namespace, name }, { propagationPolicy: "Foreground" });
    await client.delete(resourceQuotas, { namespace, name });
    await eventually(async () => {
      expect((await used(client)).names).toEqual([]);
    });
  }
});
