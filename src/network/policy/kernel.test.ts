/**
 * Truth tables with real connections: random policies and pods, each pod a network namespace behind a router that has the
 * rules, held against what the documentation says. Root and nft are needed.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, runOk } from "#base";
import { keyOf } from "#client";
import { anyWorld, policyOf, ports, protocols } from "./policy.fixture.ts";
import { PolicyState } from "./policy-state.ts";
import { isAllowed, type World } from "./reference.fixture.ts";
import { KernelTable, policySkeleton, policyTransaction } from "./ruleset.ts";

const able = process.getuid?.() === 0 && existsSync("/usr/sbin/nft");
const name = { family: "ip", table: "t" } as const;
const router = `knarr-np-${process.pid}`;
const addresses = [1, 2, 3, 4, 5].map((i) => `10.244.0.${i}`);
const spaceOf = (address: string) => `${router}-${address.split(".")[3]}`;
let folder: string;

/** A process in a pod's namespace. */
class Peer {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #asked = new Map<string, (answer: boolean) => void>();
  readonly ready: Promise<void>;

  constructor(space: string) {
    const file = join(import.meta.dirname, "../../../test/integration/fixtures/policy-peer.ts");
    const command = ["nsenter", `--net=/run/netns/${space}`, process.execPath, file, ...ports.map(String)];
    this.#child = spawn(command[0]!, command.slice(1));
    let ready = () => {};
    this.ready = new Promise((resolve) => {
      ready = resolve;
    });
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      if (line === "ready") return ready();
      const question = line.slice(0, line.lastIndexOf(" "));
      this.#asked.get(question)?.(line.endsWith("true"));
    });
  }

  ask(question: string): Promise<boolean> {
    return new Promise((resolve) => {
      this.#asked.set(question, resolve);
      this.#child.stdin.write(`${question}\n`);
    });
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }
}

let peers: Peer[] = [];

beforeAll(async () => {
  if (!able) return;
  folder = await mkdtemp(join(tmpdir(), "knarr-np-"));
  await runOk("ip", ["netns", "add", router]);
  await runOk("nsenter", [`--net=/run/netns/${router}`, "sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  for (const [i, address] of addresses.entries()) {
    const space = spaceOf(address);
    await runOk("ip", ["netns", "add", space]);
    await runOk("ip", ["-n", space, "link", "set", "lo", "up"]);
    const link = [
      "link",
      "add",
      "eth0",
      "netns",
      space,
      "type",
      "veth",
      "peer",
      "name",
      `p${i}`,
      "netns",
      router,
    ];
    await runOk("ip", link);
    await runOk("ip", ["-n", space, "addr", "add", address, "peer", "10.244.0.254", "dev", "eth0"]);
    await runOk("ip", ["-n", space, "link", "set", "eth0", "up"]);
    await runOk("ip", ["-n", space, "route", "add", "default", "via", "10.244.0.254"]);
    await runOk("ip", ["-n", router, "addr", "add", "10.244.0.254", "peer", address, "dev", `p${i}`]);
    await runOk("ip", ["-n", router, "link", "set", `p${i}`, "up"]);
  }
  peers = addresses.map((address) => new Peer(spaceOf(address)));
  await Promise.all(peers.map((peer) => peer.ready));
});
afterAll(async () => {
  for (const peer of peers) peer.end();
  if (!able) return;
  for (const space of [router, ...addresses.map(spaceOf)]) await run("ip", ["netns", "del", space]);
  await rm(folder, { recursive: true, force: true });
});

async function apply(rules: string): Promise<void> {
  if (!rules) return;
  const file = join(folder, "rules.nft");
  await writeFile(file, rules);
  await runOk("nsenter", [`--net=/run/netns/${router}`, "nft", "-f", file]);
}

const patience = 20;

/** What has been seen at all: a test that only ever sees one has tried nothing. */
const outcomes = new Set<boolean>();

/** Every connection among the pods that does not go as it should. */
async function surprises(world: World): Promise<string[]> {
  const found: string[] = [];
  const tries = addresses.flatMap((from, i) =>
    addresses.flatMap((to) =>
      protocols.flatMap((protocol) =>
        ports.map(async (port) => {
          const wanted = isAllowed(world, { from, to, protocol, port });
          const ask = () => peers[i]!.ask(`${to} ${protocol} ${port}`);
          let answered = await ask();
          // An answer is one; silence may be a machine that is busy.
          for (let n = 0; wanted && !answered && n < patience; n++) answered = await ask();
          outcomes.add(answered);
          if (answered !== wanted) found.push(`${from} → ${to} ${protocol} ${port} ${answered}`);
        }),
      ),
    ),
  );
  await Promise.all(tries);
  return found;
}

const worldsTried = 8;

test.runIf(able)("random worlds, one after the other in the same table", { timeout: 60_000 }, async () => {
  const kernel = new KernelTable();
  const state = new PolicyState("ip");
  await apply(policySkeleton(name));
  let before: World = { pods: new Map(), namespaces: new Map(), policies: [] };
  // All pods are on the one node: what is forwarded here is judged in both directions.
  const worlds = fc.sample(anyWorld, { numRuns: worldsTried, seed: 6 }).map((world) => ({
    ...world,
    pods: new Map([...world.pods].map(([key, facts]) => [key, { ...facts, local: true }])),
  }));
  for (const world of worlds) {
    const keys = world.policies.map(keyOf);
    for (const [namespace, labels] of world.namespaces) state.setNamespace(namespace, labels);
    for (const key of before.pods.keys()) if (!world.pods.has(key)) state.setPod(key, undefined);
    for (const policy of before.policies)
      if (!keys.includes(keyOf(policy))) state.setPolicy(keyOf(policy), undefined);
    for (const policy of world.policies) state.setPolicy(keyOf(policy), policy);
    for (const [key, facts] of world.pods) state.setPod(key, facts);
    before = world;
    await apply(policyTransaction(name, kernel, state));
    expect(await surprises(world)).toEqual([]);
  }
  expect(outcomes.size).toBe(2);
});

test.runIf(able)("a policy of every kind of port and peer is taken, and leaves nothing behind", async () => {
  const kernel = new KernelTable();
  const state = new PolicyState("ip");
  const pod = { namespace: "a", labels: {}, address: "10.244.0.1", ports: [], local: true };
  state.setNamespace("a", {});
  state.setPod("a/p", { ...pod, ports: [{ name: "http", protocol: "sctp", port: 80 }] });
  await apply(policySkeleton(name));
  await apply(policyTransaction(name, kernel, state));
  const peersOfAll = [
    { ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16", "10.2.0.0/32"] } },
    { namespaceSelector: {} },
  ];
  const portsOfAll = [
    { protocol: "SCTP" },
    { protocol: "SCTP", port: "http" },
    { protocol: "TCP", port: 1, endPort: 65_535 },
    { protocol: "UDP", port: 53 },
  ];
  const spec = {
    podSelector: {},
    policyTypes: ["Ingress", "Egress"],
    ingress: [{ from: peersOfAll, ports: portsOfAll }],
    egress: [{ to: peersOfAll, ports: portsOfAll }, {}],
  };
  state.setPolicy("a/x", policyOf("a", "x", spec));
  state.setPolicy("a/y", policyOf("a", "y", { ...spec, ingress: [{ ports: [{ protocol: "TCP" }] }] }));
  await apply(policyTransaction(name, kernel, state));
  state.setPolicy("a/x", undefined);
  await apply(policyTransaction(name, kernel, state));
  state.setPod("a/p", undefined);
  await apply(policyTransaction(name, kernel, state));
  const { stdout } = await run("nsenter", [`--net=/run/netns/${router}`, "nft", "list", "table", "ip", "t"]);
  expect(stdout.match(/\n\tchain \S+/g)).toEqual(["\n\tchain egress", "\n\tchain ingress"]);
  expect(stdout.match(/\n\tset \S+/g)).toEqual(["\n\tset itself"]);
});
