import { expect, it } from "vitest";
import { flowSchemas, priorityLevelConfigurations } from "#api";
import { startTestServer } from "../testing/start.ts";

it("A FlowSchema says whether its priority level is there", async () => {
  const server = await startTestServer();
  const { client } = server;
  const spec = { priorityLevelConfiguration: { name: "mine" }, matchingPrecedence: 500 };
  await client.create(flowSchemas, { metadata: { name: "mine" }, spec });
  const dangling = async () => {
    const { status } = await client.get(flowSchemas, { name: "mine" });
    return status?.conditions?.map(({ type, status: is, reason, message }) => [type, is, reason, message]);
  };
  const named = 'This FlowSchema references the PriorityLevelConfiguration object named "mine"';
  await expect
    .poll(dangling)
    .toEqual([["Dangling", "True", "NotFound", `${named} but there is no such object`]]);
  const limited = { nominalConcurrencyShares: 1, limitResponse: { type: "Reject" } };
  await client.create(priorityLevelConfigurations, {
    metadata: { name: "mine" },
    spec: { type: "Limited", limited },
  });
  await expect.poll(dangling).toEqual([["Dangling", "False", "Found", `${named} and it exists`]]);
  await client.delete(priorityLevelConfigurations, { name: "mine" });
  await expect.poll(async () => (await dangling())?.[0]?.[1]).toBe("True");
  // The cluster's own are well from the beginning.
  const { items } = await client.list(flowSchemas, {});
  const states = items
    .filter(({ metadata }) => metadata.name !== "mine")
    .map(({ status }) => status?.conditions?.[0]?.status);
  expect([...new Set(states)]).toEqual(["False"]);
  await server.stop();
});
