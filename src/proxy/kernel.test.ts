/** The rules in a real kernel: a network namespace with a client and two servers behind it. Root and nft are needed. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, runOk, systemClock } from "#base";
import { ElementStore } from "./element-store.ts";
import { type Fragment, type SetName, serviceFragment } from "./fragments.ts";
import { leastCapacity, skeleton, type TableOptions, transaction } from "./ruleset.ts";
import { forgetAffinities, parseAffinities } from "./stale.ts";

const able = process.getuid?.() === 0 && existsSync("/usr/sbin/nft");
const namespace = `knarr-nft-${process.pid}`;
const options: TableOptions = {
  table: "t",
  family: "ip",
  clusterCidr: "10.244.0.0/16",
  podCidr: "10.244.0.0/24",
};
const v6: TableOptions = {
  ...options,
  family: "ip6",
  clusterCidr: "fd00:244::/56",
  podCidr: "fd00:244::/64",
};
let folder: string;
const servers: ChildProcess[] = [];

beforeAll(async () => {
  if (!able) return;
  folder = await mkdtemp(join(tmpdir(), "knarr-nft-"));
  await runOk("ip", ["netns", "add", namespace]);
  await runOk("ip", ["-n", namespace, "link", "set", "lo", "up"]);
  for (const address of ["10.244.0.1", "10.244.0.2", "10.244.0.9"])
    await runOk("ip", ["-n", namespace, "addr", "add", address, "dev", "lo"]);
  // A way out, as a machine has one: what is sent to addresses of Services is not local.
  await runOk("ip", ["-n", namespace, "link", "add", "out", "type", "veth", "peer", "name", "other"]);
  for (const link of ["out", "other"]) await runOk("ip", ["-n", namespace, "link", "set", link, "up"]);
  await runOk("ip", ["-n", namespace, "route", "add", "10.96.0.0/16", "dev", "out"]);
});
afterAll(async () => {
  for (const server of servers) server.kill();
  if (!able) return;
  await run("ip", ["netns", "del", namespace]);
  await rm(folder, { recursive: true, force: true });
});

const inside = [`--net=/run/netns/${namespace}`];
const nft = (...args: string[]) => runOk("nsenter", [...inside, "nft", ...args]);

async function apply(rules: string): Promise<void> {
  const file = join(folder, "rules.nft");
  await writeFile(file, rules);
  await nft("-f", file);
}

/** `count` Services of `endpoints` endpoints each. */
function fragment(count: number, endpoints: number, kind = "n"): Fragment {
  const elements = new Map<SetName, Map<string, string>>([
    ["services", new Map()],
    ["endpoints", new Map()],
    ["sticky", new Map()],
  ]);
  for (let i = 0; i < count; i++) {
    const front = `10.96.0.${i + 1} . tcp . 80`;
    elements.get("services")?.set(front, `goto ${kind}${endpoints}`);
    if (kind === "h") elements.get("sticky")?.set(front, "jump t10800");
    for (let e = 0; e < endpoints; e++)
      elements.get("endpoints")?.set(`${front} . ${e}`, `10.244.0.${e + 1} . 8080`);
  }
  return { elements, largest: {} };
}

test.runIf(able)("a change of elements is taken by a table that stands", async () => {
  const store = new ElementStore();
  store.set("all", fragment(1, 2));
  await apply(skeleton(options, leastCapacity) + transaction(options, store.take()));
  store.set("all", fragment(3, 5));
  await apply(transaction(options, store.take()));
  expect((await nft("list", "map", "ip", "t", "services")).match(/goto n5/g)).toHaveLength(3);
  store.set("all", undefined);
  await apply(transaction(options, store.take()));
  expect(await nft("list", "map", "ip", "t", "endpoints")).not.toContain("elements");
});

test.runIf(able)("every element there can be is taken, in both families", async () => {
  const address = {
    ip: ["10.96.0.1", "10.244.0.1", "10.0.0.0/8"],
    ip6: ["fd00:96::1", "fd00:244::1", "fd00::/8"],
  };
  for (const table of [options, v6]) {
    const [vip, pod, range] = address[table.family];
    const front = `${vip} . udp . 53`;
    const elements = new Map<SetName, Map<string, string>>([
      ["services", new Map([[front, "goto s1"]])],
      ["endpoints", new Map([[`${front} . 0`, `${pod} . 53`]])],
      ["inner", new Map([[front, "goto i1"]])],
      ["innerEndpoints", new Map([[`${front} . 0`, `${pod} . 53`]])],
      [
        "refused",
        new Map([
          [`${vip} . tcp . 1`, "drop"],
          [`${vip} . tcp . 2`, "goto rejection"],
          [`${vip} . sctp . 2`, "goto rejection"],
        ]),
      ],
      ["hairpins", new Map([[`${pod} . ${pod}`, ""]])],
      ["restricted", new Map([[front, ""]])],
      [
        "allowed",
        new Map([
          [`${front} . ${range}`, ""],
          [`${vip} . tcp . 2 . ${range}`, ""],
        ]),
      ],
    ]);
    const store = new ElementStore();
    store.set("all", { elements, largest: {} });
    await apply(skeleton(table, leastCapacity) + transaction(table, store.take()));
    store.set("all", undefined);
    await apply(transaction(table, store.take()));
    expect(await nft("list", "table", table.family, "t")).not.toContain("elements");
  }
});

/** A server that answers its own address to whoever connects, and the word of the one a client at `from` is given. */
function serve(address: string): Promise<void> {
  const code = `require("node:net").createServer((s) => s.end("${address}")).listen(8080, "${address}", () => console.log("up"))`;
  const child = spawn("nsenter", [...inside, process.execPath, "-e", code]);
  servers.push(child);
  return new Promise((resolve) => child.stdout.once("data", () => resolve()));
}

async function ask(from: string, times: number): Promise<Set<string>> {
  const code = `
    const ask = () => new Promise((resolve, reject) => {
      const socket = require("node:net").connect({ host: "10.96.0.1", port: 80, localAddress: "${from}" });
      socket.setEncoding("utf8").on("data", resolve).on("error", reject);
    });
    (async () => { for (let i = 0; i < ${times}; i++) console.log(await ask()); })();`;
  const out = await runOk("nsenter", [...inside, process.execPath, "-e", code]);
  return new Set(out.trim().split("\n"));
}

test.runIf(able)(
  "a client comes back to its endpoint until that goes, and is given another one then",
  async () => {
    await Promise.all(["10.244.0.1", "10.244.0.2"].map(serve));
    const store = new ElementStore();
    store.set("all", fragment(1, 2));
    await apply(skeleton(options, leastCapacity) + transaction(options, store.take()));
    expect(await ask("10.244.0.9", 40)).toEqual(new Set(["10.244.0.1", "10.244.0.2"]));
    store.set("all", fragment(1, 2, "h"));
    await apply(transaction(options, store.take()));
    const first = await ask("10.244.0.9", 10);
    expect(first.size).toBe(1);
    const list = () => nft("-j", "-n", "list", "map", "ip", "t", "affinity");
    const program = join(folder, "nft");
    await writeFile(program, `#!/bin/sh\nexec nsenter ${inside} /usr/sbin/nft "$@"\n`, { mode: 0o755 });
    const path = process.env.PATH;
    process.env.PATH = `${folder}:${path}`;
    try {
      let [target] = first;
      // Again and again: who has been forgotten is remembered anew.
      for (let i = 0; i < 4; i++) {
        expect(parseAffinities(await list())).toEqual([
          { client: "10.244.0.9", front: "10.96.0.1 . 6 . 80", target: `${target} . 8080` },
        ]);
        await forgetAffinities(options, [{ front: "10.96.0.1 . tcp . 80", target: `${target} . 8080` }]);
        expect(parseAffinities(await list())).toEqual([]);
        // The kernel frees what was deleted a moment later, and learns nothing in its place before that.
        await systemClock.sleep(300);
        const next = await ask("10.244.0.9", 10);
        expect(next.size).toBe(1);
        [target] = next;
      }
    } finally {
      process.env.PATH = path;
    }
  },
);

/** How it ends to connect: a word of the kernel's, or nothing within a while. */
function attempt(host: string, port: number, patienceMs: number): Promise<string> {
  const code = `
    const socket = require("node:net").connect({ host: "${host}", port: ${port} });
    const say = (word) => { console.log(word); process.exit(0); };
    socket.on("error", (error) => say(error.code));
    socket.on("connect", () => say("connected"));
    setTimeout(() => say("silence"), ${patienceMs});`;
  return runOk("nsenter", [...inside, process.execPath, "-e", code]).then((out) => out.trim());
}

test.runIf(able && existsSync("/proc/net/if_inet6"))(
  "ports that a Service does not have refuse at once, addresses that none has are silent, in both families",
  async () => {
    const ip6 = (...args: string[]) => runOk("ip", ["-6", "-n", namespace, ...args]);
    await ip6("addr", "add", "fd00:244::1/128", "dev", "lo", "nodad");
    await ip6("route", "add", "fd00:96::/112", "dev", "out");
    for (const [table, serviceCidr, vip, pod, nobody] of [
      [options, "10.96.0.0/16", "10.96.0.1", "10.244.0.1", "10.96.0.77"],
      [v6, "fd00:96::/112", "fd00:96::1", "fd00:244::1", "fd00:96::77"],
    ] as const) {
      const service = {
        metadata: { name: "s" },
        spec: { clusterIP: vip, clusterIPs: [vip], ports: [{ port: 80 }] },
      };
      const slice = {
        addressType: table.family === "ip6" ? "IPv6" : "IPv4",
        ports: [{ name: "", port: 9 }],
        endpoints: [{ addresses: [pod] }],
      };
      const place = { nodeName: "n", zone: "", family: table.family, nodeAddresses: [] };
      const store = new ElementStore();
      store.set("s", serviceFragment(service as never, [slice as never], place));
      await apply(skeleton({ ...table, serviceCidr }, leastCapacity) + transaction(table, store.take()));
      expect([vip, await attempt(vip, 81, 5_000), await attempt(nobody, 80, 700)]).toEqual([
        vip,
        "ECONNREFUSED",
        "silence",
      ]);
      await nft("delete", "table", table.family, "t");
    }
  },
);
