/** Two servers on one store: what acts once in a cluster runs on one of them, and on the other when that one goes. */
import { expect, it } from "vitest";
import { leases } from "#api";
import { startTestServer } from "../../src/apiserver/testing/start.ts";
import { startAsLeader } from "../../src/distro/leading.ts";

it("one leads, the other takes over when it stops", async () => {
  const { api, client, clock, world, stop } = await startTestServer();
  const component = (identity: string) => {
    const own = { running: 0 };
    const leading = startAsLeader({ world, client, name: "kube-scheduler", identity }, async () => {
      own.running++;
      return { stop: async () => void own.running-- };
    });
    return { own, stop: () => leading.stop() };
  };
  const [a, b] = [component("a"), component("b")];
  await clock.advance(5_000);
  expect(a.own.running + b.own.running).toBe(1);
  const [first, second] = a.own.running === 1 ? [a, b] : [b, a];
  const lease = await client.get(leases, { namespace: "kube-system", name: "kube-scheduler" });
  expect(lease.spec?.holderIdentity).toBe(first === a ? "a" : "b");
  await clock.advance(60_000);
  expect([first.own.running, second.own.running]).toEqual([1, 0]);
  const ended = first.stop();
  await clock.advance(10_000);
  await ended;
  expect([first.own.running, second.own.running]).toEqual([0, 1]);
  const last = second.stop();
  await clock.advance(10_000);
  await last;
  expect(second.own.running).toBe(0);
  expect(api.port).toBe(0);
  await stop();
});

it("the users of controllers and scheduler may hold their leases", async () => {
  const { api, stop } = await startTestServer();
  for (const name of ["kube-controller-manager", "kube-scheduler"]) {
    const transport = api.transport({ username: `system:${name}`, groups: ["system:authenticated"] });
    const path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    const send = async (method: "POST" | "GET", at: string, body?: object) => {
      const bytes = body && Buffer.from(JSON.stringify(body));
      const answer = await transport.send({
        method,
        path: at,
        headers: {},
        ...(bytes ? { body: bytes } : {}),
      });
      return answer.status;
    };
    expect([name, await send("POST", path, { metadata: { name }, spec: {} })]).toEqual([name, 201]);
    expect([name, await send("GET", `${path}/${name}`)]).toEqual([name, 200]);
  }
  await stop();
});
