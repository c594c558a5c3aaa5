/** What is compiled of NetworkPolicies allows what they allow, whatever happened before. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { cidrRange, parseAddress } from "#api";
import { keyOf } from "#client";
import { factsOf } from "./facts.ts";
import type { Direction, Match } from "./model.ts";
import { addressesOf, anyWorld, policyOf, ports, protocols } from "./policy.fixture.ts";
import { PolicyState } from "./policy-state.ts";
import { blockRanges, joinRanges } from "./ranges.ts";
import { type Connection, isAllowed, type World } from "./reference.fixture.ts";
import { KernelTable, policyTransaction, rulesOf } from "./ruleset.ts";

/** What the kernel would do with the chains and sets of the state. */
function passes(state: PolicyState, connection: Connection): boolean {
  if (connection.from === connection.to) return true;
  return passesOneWay(state, connection, "egress") && passesOneWay(state, connection, "ingress");
}

function passesOneWay(state: PolicyState, connection: Connection, direction: Direction): boolean {
  const own = direction === "ingress" ? connection.to : connection.from;
  const assignment = [...state.assignments.values()].find(({ address }) => address === own);
  const name = assignment?.chains[direction];
  if (!name) return true;
  const group = state.chains.get(name);
  if (!group || !("tries" in group)) throw new Error(`no chain ${name}`);
  return group.tries.some((each) => {
    const chain = state.chains.get(each);
    if (!chain || !("matches" in chain)) throw new Error(`no chain ${each}`);
    return chain.matches.some((match) => doesMatch(state, match, connection, direction));
  });
}

function doesMatch(
  state: PolicyState,
  { peer, port }: Match,
  connection: Connection,
  direction: Direction,
): boolean {
  const other = direction === "ingress" ? connection.from : connection.to;
  if (peer && "set" in peer && !state.sets.get(peer.set)!.has(other)) return false;
  if (peer && "ranges" in peer) {
    const { value } = parseAddress(other)!;
    if (!peer.ranges.some(({ first, last }) => value >= first && value <= last)) return false;
  }
  if (!port) return true;
  const { to, protocol } = connection;
  if ("named" in port) return state.sets.get(port.named)!.has(`${to} . ${protocol} . ${connection.port}`);
  if (port.protocol !== protocol) return false;
  return port.ranges?.some(([from, last]) => connection.port >= from && connection.port <= last) ?? true;
}

function bring(state: PolicyState, before: World, after: World): void {
  const keys = (world: World) => world.policies.map(keyOf);
  for (const [name, labels] of after.namespaces) state.setNamespace(name, labels);
  for (const key of before.pods.keys()) if (!after.pods.has(key)) state.setPod(key, undefined);
  for (const name of keys(before)) if (!keys(after).includes(name)) state.setPolicy(name, undefined);
  for (const policy of after.policies) state.setPolicy(keyOf(policy), policy);
  for (const [key, facts] of after.pods) state.setPod(key, facts);
}

const nothing: World = { pods: new Map(), namespaces: new Map(), policies: [] };

test("property: random policies and pods, one world after the other, are told as the documentation tells them", () => {
  fc.assert(
    fc.property(fc.array(anyWorld, { minLength: 1, maxLength: 3 }), (worlds) => {
      const state = new PolicyState("ip");
      let before = nothing;
      for (const world of worlds) {
        bring(state, before, world);
        before = world;
        const all = addressesOf(world);
        for (const from of all)
          for (const to of all)
            for (const protocol of protocols)
              for (const port of ports) {
                const connection = { from, to, protocol, port };
                expect([connection, passes(state, connection)]).toEqual([
                  connection,
                  isAllowed(world, connection),
                ]);
              }
      }
      bring(state, before, nothing);
      expect([state.chains.size, state.sets.size, state.assignments.size]).toEqual([0, 0, 0]);
    }),
    { numRuns: 60 },
  );
});

test("property: what the kernel was told, change after change, is what a fresh one would be told", () => {
  fc.assert(
    fc.property(fc.array(anyWorld, { minLength: 2, maxLength: 4 }), (worlds) => {
      const name = { family: "ip", table: "t" } as const;
      const state = new PolicyState("ip");
      const kernel = new KernelTable();
      let before = nothing;
      for (const world of worlds) {
        bring(state, before, world);
        before = world;
        policyTransaction(name, kernel, state);
      }
      const fresh = new KernelTable();
      state.everythingIsDirty();
      policyTransaction(name, fresh, state);
      expect(kernel).toEqual(fresh);
      expect(policyTransaction(name, kernel, state)).toBe("");
    }),
    { numRuns: 100 },
  );
});

test("property: a block without its holes has the addresses that it should", () => {
  const cidr = fc
    .tuple(fc.nat(255), fc.integer({ min: 24, max: 32 }))
    .map(([last, length]) => `10.0.0.${last}/${length}`);
  const has = (text: string, value: bigint) => {
    const { first, last } = cidrRange(text)!;
    return value >= first && value <= last;
  };
  fc.assert(
    fc.property(cidr, fc.array(cidr, { maxLength: 4 }), (block, except) => {
      const ranges = blockRanges({ cidr: block, except }, "ip");
      expect(joinRanges(ranges)).toEqual(ranges);
      for (let i = 0n; i < 256n; i++) {
        const value = parseAddress("10.0.0.0")!.value + i;
        const isIn = ranges.some(({ first, last }) => value >= first && value <= last);
        expect(isIn).toBe(has(block, value) && !except.some((hole) => has(hole, value)));
      }
    }),
  );
  expect(blockRanges({ cidr: "2001:db8::/32" }, "ip")).toEqual([]);
});

test("a change of one pod touches the elements of its sets alone", () => {
  const state = new PolicyState("ip");
  const kernel = new KernelTable();
  const name = { family: "ip", table: "t" } as const;
  const pod = (address: string, app: string, local: boolean) => ({
    namespace: "a",
    labels: { app },
    address,
    ports: [],
    local,
  });
  state.setNamespace("a", {});
  state.setPod("web", pod("10.244.0.1", "web", true));
  const from = [{ podSelector: { matchLabels: { app: "client" } } }];
  const ingress = [{ from, ports: [{ protocol: "TCP", port: 80, endPort: 90 }] }];
  const policy = policyOf("a", "p", { podSelector: {}, policyTypes: ["Ingress"], ingress });
  state.setPolicy("a/p", policy);
  policyTransaction(name, kernel, state);
  state.setPod("client", pod("10.244.7.7", "client", false));
  expect(policyTransaction(name, kernel, state)).toMatch(
    /^add element ip t s_[0-9a-f]{16} \{ 10\.244\.7\.7 \}\n$/,
  );
  const chains = [...state.chains.values()].flatMap((chain) => rulesOf(chain, "ip", "ingress"));
  expect(chains.join("\n")).toMatch(/ip saddr @s_\S+ meta l4proto tcp th dport \{ 80-90 \} accept/);
});

test("pods on the node's network, without an address or at their end are nobody's", () => {
  const pod = (spec: object, status: object) =>
    ({ metadata: { namespace: "a", name: "p" }, spec: { containers: [], ...spec }, status }) as never;
  expect(factsOf(pod({ hostNetwork: true }, { podIP: "192.0.2.1" }), "ip", "n")).toBeUndefined();
  expect(factsOf(pod({}, {}), "ip", "n")).toBeUndefined();
  expect(factsOf(pod({}, { podIP: "10.0.0.1", phase: "Failed" }), "ip", "n")).toBeUndefined();
  expect(factsOf(pod({ nodeName: "n" }, {}), "ip", "n", ["10.0.0.1"])).toMatchObject({
    address: "10.0.0.1",
    local: true,
  });
  const sidecar = { name: "s", restartPolicy: "Always", ports: [{ name: "admin", containerPort: 9 }] };
  expect(factsOf(pod({ initContainers: [sidecar] }, { podIP: "10.0.0.1" }), "ip", "n")?.ports).toEqual([
    { name: "admin", protocol: "tcp", port: 9 },
  ]);
});
