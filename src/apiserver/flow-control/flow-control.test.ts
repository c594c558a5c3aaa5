import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { type flowcontrolv1, flowSchemas, priorityLevelConfigurations } from "#api";
import type { Attributes, ResourceAttributes } from "../authorization/attributes.ts";
import { Storage } from "../registry/storage.ts";
import { startTestServer, type TestServer } from "../testing/start.ts";
import { inOrder, matches } from "./classify.ts";
import { type Flow, FlowControl, type FlowLimits } from "./flow-control.ts";
import { handOf, Queues } from "./queues.ts";
import { mayTake, Seats, shareOf } from "./seats.ts";

const pods = { group: "", version: "v1", resource: "pods", subresource: "", namespace: "shop", name: "" };

function asked(username: string, resource: Partial<ResourceAttributes> = {}, verb = "list"): Attributes {
  const user = { username, groups: ["system:authenticated", "team"] };
  return { user, verb, path: "/api/v1/pods", resource: { ...pods, ...resource } };
}

function schema(
  rules: flowcontrolv1.PolicyRulesWithSubjects[],
  matchingPrecedence = 1000,
  name = "mine",
): flowcontrolv1.FlowSchema {
  const spec = { priorityLevelConfiguration: { name: "mine" }, matchingPrecedence, rules };
  return { metadata: { name }, spec } as flowcontrolv1.FlowSchema;
}

const anyPods = [{ verbs: ["list"], apiGroups: [""], resources: ["pods", "pods/log"], namespaces: ["shop"] }];

describe("a FlowSchema", () => {
  const everybody = { kind: "Group", group: { name: "*" } };
  const cases: [string, flowcontrolv1.PolicyRulesWithSubjects, Attributes, boolean][] = [
    [
      "a user",
      { subjects: [{ kind: "User", user: { name: "ann" } }], resourceRules: anyPods },
      asked("ann"),
      true,
    ],
    [
      "another",
      { subjects: [{ kind: "User", user: { name: "ann" } }], resourceRules: anyPods },
      asked("bob"),
      false,
    ],
    [
      "a group",
      { subjects: [{ kind: "Group", group: { name: "team" } }], resourceRules: anyPods },
      asked("ann"),
      true,
    ],
    [
      "an account of a namespace",
      {
        subjects: [{ kind: "ServiceAccount", serviceAccount: { namespace: "a", name: "*" } }],
        resourceRules: anyPods,
      },
      asked("system:serviceaccount:a:x"),
      true,
    ],
    [
      "an account of a namespace that begins alike",
      {
        subjects: [{ kind: "ServiceAccount", serviceAccount: { namespace: "a", name: "*" } }],
        resourceRules: anyPods,
      },
      asked("system:serviceaccount:ab:x"),
      false,
    ],
    [
      "a subresource",
      { subjects: [everybody], resourceRules: anyPods },
      asked("a", { subresource: "log" }),
      true,
    ],
    [
      "another subresource",
      { subjects: [everybody], resourceRules: anyPods },
      asked("a", { subresource: "exec" }),
      false,
    ],
    ["another verb", { subjects: [everybody], resourceRules: anyPods }, asked("a", {}, "get"), false],
    [
      "another namespace",
      { subjects: [everybody], resourceRules: anyPods },
      asked("a", { namespace: "b" }),
      false,
    ],
    [
      "all namespaces",
      { subjects: [everybody], resourceRules: anyPods },
      asked("a", { namespace: "" }),
      false,
    ],
    [
      "all namespaces, wanted",
      { subjects: [everybody], resourceRules: [{ ...anyPods[0]!, clusterScope: true }] },
      asked("a", { namespace: "" }),
      true,
    ],
    [
      "a path",
      {
        subjects: [everybody],
        nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/a/*"] }],
      },
      { user: { username: "a", groups: [] }, verb: "get", path: "/a/b" },
      true,
    ],
    [
      "a path beside it",
      {
        subjects: [everybody],
        nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/a/*"] }],
      },
      { user: { username: "a", groups: [] }, verb: "get", path: "/ab" },
      false,
    ],
  ];
  it.each(cases)("is for %s: %#", (_, rules, attributes, expected) => {
    expect(matches(schema([rules]), attributes)).toBe(expected);
  });

  it("of lower precedence is asked first, then by its name", () => {
    const all = [schema([], 5, "b"), schema([], 5, "a"), schema([], 1, "z")];
    expect(inOrder(all).map(({ metadata }) => metadata.name)).toEqual(["z", "a", "b"]);
  });
});

describe("queues", () => {
  it("deal a flow the same hand of different queues", () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 12 }),
        (flow, queues, size) => {
          const hand = handOf(flow, { queues, handSize: size });
          expect(new Set(hand).size).toBe(Math.min(size, queues));
          expect(hand.every((queue) => queue >= 0 && queue < queues)).toBe(true);
          expect(handOf(flow, { queues, handSize: size })).toEqual(hand);
        },
      ),
    );
  });

  it("leave room for others when one flow floods", () => {
    const settings = { queues: 128, handSize: 6, queueLengthLimit: 50 };
    const queues = new Queues();
    const entered: string[] = [];
    const add = (flow: string) => queues.add(settings, flow, { enter: () => entered.push(flow) });
    const taken = Array.from({ length: 1000 }, () => add("flood")).filter(Boolean);
    expect(taken).toHaveLength(300);
    expect(add("meek")).toBe(true);
    for (let turn = 0; turn < 7; turn++) queues.next()?.enter();
    expect(entered).toContain("meek");
    expect(queues.length).toBe(294);
  });
});

describe("seats", () => {
  it("are shared by shares, and lent within limits", () => {
    const settings = { shares: 30, lendablePercent: 33, borrowingLimitPercent: undefined };
    expect(shareOf(settings, 245, 600)).toEqual({ nominal: 74, floor: 50, ceiling: 600 });
    expect(shareOf({ ...settings, borrowingLimitPercent: 50 }, 245, 600).ceiling).toBe(111);
    expect(shareOf({ ...settings, shares: 0 }, 0, 600)).toEqual({ nominal: 0, floor: 0, ceiling: 600 });
  });

  it("are never more than there are, and nobody's floor is lent", () => {
    const settings = fc.record({
      shares: fc.integer({ min: 0, max: 100 }),
      lendablePercent: fc.integer({ min: 0, max: 100 }),
      borrowingLimitPercent: fc.option(fc.integer({ min: 0, max: 300 }), { nil: undefined }),
    });
    const steps = fc.array(fc.tuple(fc.nat(4), fc.boolean()), { maxLength: 300 });
    fc.assert(
      fc.property(fc.array(settings, { minLength: 5, maxLength: 5 }), steps, (levels, history) => {
        const total = 40;
        const sharesOfAll = levels.reduce((sum, level) => sum + level.shares, 0);
        const all = levels.map((level) => {
          const seats = new Seats();
          seats.share = shareOf(level, sharesOfAll, total);
          return seats;
        });
        for (const [index, comes] of history) {
          const seats = all[index]!;
          if (!comes) seats.taken = Math.max(0, seats.taken - 1);
          else if (mayTake(seats, all, total)) seats.taken++;
          else expect(seats.taken).toBeGreaterThanOrEqual(seats.share.floor);
          expect(seats.taken).toBeLessThanOrEqual(Math.max(seats.share.ceiling, seats.share.floor));
        }
        const floors = all.reduce((sum, { share }) => sum + share.floor, 0);
        const taken = all.reduce((sum, seats) => sum + seats.taken, 0);
        // Nominal seats are rounded up.
        expect(taken).toBeLessThanOrEqual(Math.max(total, floors));
      }),
    );
  });
});

describe("flow control", () => {
  let server: TestServer;
  afterEach(() => server.stop());

  const signal = new AbortController().signal;
  const body = { length: 10 };

  async function start(
    level: flowcontrolv1.PriorityLevelConfigurationSpec,
    limits: Partial<FlowLimits> = {},
  ) {
    server = await startTestServer();
    const storage = await Storage.open(server.world, server.store);
    const control = new FlowControl(storage, server.world, { seats: 245, ...limits });
    const mine = schema([{ subjects: [{ kind: "User", user: { name: "*" } }], resourceRules: anyPods }], 50);
    mine.spec.distinguisherMethod = { type: "ByUser" };
    await server.client.create(priorityLevelConfigurations, { metadata: { name: "mine" }, spec: level });
    await server.client.create(flowSchemas, mine);
    const finish: (() => void)[] = [];
    const ask = (username: string, more: { body?: { length: number }; signal?: AbortSignal } = {}) =>
      control.run(control.flowOf(asked(username)), { body, signal, ...more }, () => {
        return new Promise<string>((resolve) => finish.push(() => resolve(username)));
      });
    return { control, storage, ask, finish };
  }

  const one = { type: "Limited", limited: { nominalConcurrencyShares: 1, borrowingLimitPercent: 0 } };
  const queuing = { queues: 1, handSize: 1, queueLengthLimit: 2 };
  const rejecting = { ...one, limited: { ...one.limited, limitResponse: { type: "Reject" } } };
  const waiting = { ...one, limited: { ...one.limited, limitResponse: { type: "Queue", queuing } } };
  const refused = { code: 429, status: { details: { retryAfterSeconds: 1 } } };

  it("finds the schema of a request, and lets administrators pass", async () => {
    const { control } = await start(rejecting);
    const nameOf = ({ schema: { labels } }: Flow) => labels;
    expect(nameOf(control.flowOf(asked("ann")))).toEqual({ flow_schema: "mine", priority_level: "mine" });
    const others = control.flowOf(asked("system:serviceaccount:a:b", {}, "watch"));
    expect(nameOf(others)).toEqual({ flow_schema: "global-default", priority_level: "global-default" });
    const admin = { ...asked("ann"), user: { username: "ann", groups: ["system:masters"] } };
    expect(nameOf(control.flowOf(admin))).toEqual({ flow_schema: "exempt", priority_level: "exempt" });
    const uid = (await server.client.get(flowSchemas, { name: "mine" })).metadata.uid;
    expect(control.flowOf(asked("ann")).schema.headers["x-kubernetes-pf-flowschema-uid"]).toBe(uid);
  });

  it("refuses what a level without queues has no seat for", async () => {
    const { ask, finish } = await start(rejecting);
    const first = ask("ann");
    await expect(ask("bob")).rejects.toMatchObject(refused);
    finish.shift()!();
    expect(await first).toBe("ann");
    const next = ask("bob");
    finish.shift()!();
    expect(await next).toBe("bob");
  });

  it("seats those who wait in their order, and refuses what its queues do not hold", async () => {
    const { control, ask, finish } = await start(waiting);
    const running = [ask("ann"), ask("bob"), ask("cid")];
    await expect(ask("dan")).rejects.toMatchObject(refused);
    expect(control.inFlight).toBe(3);
    control.measure();
    const text = await server.world.metrics.text();
    const labels = '{priority_level="mine",flow_schema="mine"}';
    expect(text).toContain(`apiserver_flowcontrol_current_inqueue_requests${labels} 2`);
    expect(text).toContain(`apiserver_flowcontrol_current_executing_requests${labels} 1`);
    expect(text).toContain('apiserver_flowcontrol_nominal_limit_seats{priority_level="mine"} 1');
    expect(text).toMatch(/rejected_requests_total\{.*reason="queue-full"\} 1/);
    for (const work of running) {
      await expect.poll(() => finish.length).toBe(1);
      finish.shift()!();
      await work;
    }
    expect(await Promise.all(running)).toEqual(["ann", "bob", "cid"]);
    expect(control.inFlight).toBe(0);
  });

  it("forgets who goes, and who has waited too long", async () => {
    const { control, ask } = await start(waiting, { waitMaxMs: 1000 });
    const held = ask("ann");
    const leaving = new AbortController();
    const gone = ask("bob", { signal: leaving.signal });
    const late = expect(ask("cid")).rejects.toMatchObject(refused);
    leaving.abort();
    await expect(gone).rejects.toMatchObject(refused);
    await server.clock.advance(1001);
    await late;
    expect(control.inFlight).toBe(1);
    void held;
  });

  it("holds no more bodies than it may", async () => {
    const { ask } = await start(waiting, { waitingMaxBytes: 100 });
    void ask("ann");
    void ask("bob", { body: { length: 60 } }).catch(() => {});
    await expect(ask("cid", { body: { length: 60 } })).rejects.toMatchObject(refused);
  });

  it("lends seats that nobody uses, and a level that goes serves whom it has taken in", async () => {
    const lent = {
      ...waiting,
      limited: { nominalConcurrencyShares: 1, limitResponse: waiting.limited.limitResponse },
    };
    const { control, ask, finish } = await start(lent);
    const running = Array.from({ length: 20 }, () => ask("ann"));
    expect(finish).toHaveLength(20);
    await server.client.delete(flowSchemas, { name: "mine" });
    await server.client.delete(priorityLevelConfigurations, { name: "mine" });
    expect(control.flowOf(asked("ann")).schema.labels.flow_schema).toBe("global-default");
    expect(control.inFlight).toBe(20);
    for (const end of finish) end();
    await Promise.all(running);
    expect(control.inFlight).toBe(0);
  });
});
