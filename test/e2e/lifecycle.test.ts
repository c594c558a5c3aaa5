/** The command line's promises: restarts that pods survive, clear words for mistakes, and nothing left after a purge. */

import { Resolver } from "node:dns/promises";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run } from "#base";
import { buildImage, busyboxLayer } from "#runtime";
import { eventually } from "./harness.ts";
import { knarr, tryKnarr } from "./knarr.ts";
import { findKubectls, KubectlRunner } from "./kubectl.ts";

const name = `life-${process.pid}`;
let folder: string;
let env: { KUBECONFIG: string };
let kubectl: KubectlRunner;

/** What a cluster could leave on the machine, as lines that can be compared. */
async function traces(): Promise<string[]> {
  const processes = (await run("ps", ["-eo", "args"])).stdout
    .split("\n")
    .filter((line) => line.includes(folder));
  const mounts = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(folder));
  const tables = (await run("nft", ["list", "tables"])).stdout
    .split("\n")
    .filter((line) => line.includes(name.replace("-", "_")));
  // Every pod's link has a route: other clusters' pods come and go meanwhile.
  const routes = (await run("ip", ["-o", "route"])).stdout
    .split("\n")
    .filter((line) => podPrefix && line.startsWith(podPrefix));
  const cgroups = (await run("find", ["/sys/fs/cgroup", "-type", "d", "-name", `*${name}*`])).stdout
    .split("\n")
    .filter(Boolean);
  const files = [folder, `/var/lib/knarr/${name}`].filter((path) => existsSync(path));
  return [...processes, ...mounts, ...tables, ...routes, ...cgroups, ...files];
}

function clusterConfig() {
  type Config = Record<"podCidr" | "dnsAddress" | "serviceAddress", string>;
  return JSON.parse(readFileSync(join(folder, "cluster.json"), "utf8")) as Config;
}

let before: string[];
/** The first bytes of the cluster's pod addresses: `10.244.0.`. */
let podPrefix = "";

beforeAll(async () => {
  const home = await mkdtemp(join(tmpdir(), "knarr-life-"));
  folder = join(home, "data");
  env = { KUBECONFIG: join(home, "kubeconfig") };
  kubectl = new KubectlRunner((await findKubectls()).at(-1)!.path, env.KUBECONFIG);
  before = await traces();
  await knarr(["up", "--name", name, "--data-dir", folder], { env });
  await knarr(["image", "busybox", "--name", name], { env });
  const { podCidr } = clusterConfig();
  podPrefix = podCidr.replace(/0\/24$/, "");
});

afterAll(async () => {
  await tryKnarr(["down", "--purge", "--name", name], { env });
  await rm(join(folder, ".."), { recursive: true, force: true });
});

interface PodSeen {
  metadata: { uid: string };
  status: {
    phase: string;
    containerStatuses: { containerID: string; restartCount: number; ready: boolean }[];
  };
}

async function steadyPod(): Promise<PodSeen> {
  return eventually("the pod", async () => {
    const pod = await kubectl.json<PodSeen>(["get", "pod", "steady"]);
    return pod.status.containerStatuses?.[0]?.ready ? pod : undefined;
  });
}

interface StatusSeen {
  clusters: { name: string; state: string; pid: number; nodesReady: number }[];
}

async function status(): Promise<StatusSeen["clusters"][number]> {
  const all = JSON.parse(await knarr(["status", "-o", "json"], { env })) as StatusSeen;
  return all.clusters.find((c) => c.name === name)!;
}

test("up merges the kubeconfig, status tells, a second up says that it runs", async () => {
  expect(await kubectl.ok(["config", "current-context"])).toBe(`knarr-${name}\n`);
  expect(await status()).toMatchObject({ state: "Running", nodesReady: 1 });
  expect(await knarr(["up", "--name", name, "--data-dir", folder], { env })).toContain("runs already");
});

test("a pod and the names of Services survive kill -9 of the server, and the server takes them over", async () => {
  await kubectl.ok(["run", "steady", "--image=busybox:1.36", "--", "sleep", "100000"]);
  const pod = await steadyPod();
  process.kill((await status()).pid, "SIGKILL");
  await eventually("the end of the server", async () =>
    (await status()).state === "Stopped" ? true : undefined,
  );
  const { dnsAddress, serviceAddress } = clusterConfig();
  const resolver = new Resolver({ timeout: 1_000, tries: 1 });
  resolver.setServers([dnsAddress]);
  await eventually("names without a server", async () => {
    const addresses = await resolver.resolve4("kubernetes.default.svc.cluster.local").catch(() => []);
    return addresses.join() === serviceAddress ? true : undefined;
  });
  await knarr(["up", "--name", name, "--data-dir", folder], { env });
  const after = await steadyPod();
  expect(after.metadata.uid).toBe(pod.metadata.uid);
  expect(after.status.containerStatuses[0]).toEqual(pod.status.containerStatuses[0]);
});

test("a dead containerd comes back, and pods keep running", async () => {
  const pod = await steadyPod();
  const pid = Number(
    /"?pid"?:\s*(\d+)/.exec(readFileSync(join(folder, "containerd", "containerd.pid"), "utf8"))![1],
  );
  process.kill(pid, "SIGKILL");
  await kubectl.ok(["run", "after", "--image=busybox:1.36", "--", "sleep", "100000"]);
  await kubectl.ok(["wait", "--for=condition=Ready", "pod/after", "--timeout=60s"]);
  expect((await steadyPod()).status.containerStatuses[0]!.containerID).toBe(
    pod.status.containerStatuses[0]!.containerID,
  );
});

test("image load brings an archive in, ls shows it, a pod runs from it, rm takes it away", async () => {
  const file = join(folder, "..", "own.tar");
  const layer = busyboxLayer("/bin/busybox", ["sh", "sleep"]);
  await writeFile(file, await buildImage({ name: "example.com/own:1", layers: [layer] }));
  expect(await knarr(["image", "load", file, "--name", name], { env })).toContain("example.com/own:1");
  const names = async () => {
    const { items } = JSON.parse(await knarr(["image", "ls", "-o", "json", "--name", name], { env })) as {
      items: { name: string }[];
    };
    return items.map((item) => item.name);
  };
  expect(await names()).toContain("example.com/own:1");
  await kubectl.ok(["run", "own", "--image=example.com/own:1", "--restart=Never", "--", "sleep", "0"]);
  await eventually("the end of the pod", async () =>
    (await kubectl.ok(["get", "pod", "own", "--no-headers"])).includes("Completed") ? true : undefined,
  );
  await kubectl.ok(["delete", "pod", "own"]);
  await knarr(["image", "rm", "example.com/own:1", "--name", name], { env });
  expect(await names()).not.toContain("example.com/own:1");
});

test("down and up keep the objects", async () => {
  await knarr(["down", "--name", name], { env });
  expect(await status()).toMatchObject({ state: "Stopped" });
  await knarr(["up", "--name", name, "--data-dir", folder], { env });
  expect((await steadyPod()).status.phase).toBe("Running");
});

test("clusters that are begun at the same moment share nothing", async () => {
  const names = ["a", "b", "c", "d"].map((each) => `${name}-${each}`);
  const dirOf = (each: string) => join(folder, "..", each);
  try {
    await Promise.all(
      names.map((each) => knarr(["up", "--simulate", "--name", each, "--data-dir", dirOf(each)], { env })),
    );
    const slots = names.map(
      (each) =>
        (JSON.parse(readFileSync(join(dirOf(each), "cluster.json"), "utf8")) as { slot: number }).slot,
    );
    expect(new Set(slots).size).toBe(names.length);
  } finally {
    for (const each of names) await tryKnarr(["down", "--purge", "--name", each], { env });
  }
});

test("mistakes get one sentence and its mend", async () => {
  const said = async (...args: string[]) => {
    const result = await tryKnarr(args, { env });
    expect(result.code).toBe(1);
    return result.stderr;
  };
  expect(await said("up", "--name", "Not_a_name")).toContain("cannot be a cluster's name");
  expect(await said("down", "--name", "no-such")).toContain('there is no cluster "no-such"');
  expect(await said("kubeconfig", "--name", "no-such")).toContain("start it with: knarr up --name no-such");
  expect(await said("image", "load", "/no/such/file", "--name", name)).toContain("no such file");
  expect(await said("status", "-o", "xml")).toContain("use -o json");
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "0.0.0.0", () => resolve()));
  const { port } = taken.address() as { port: number };
  const refused = await said(
    "up",
    "--simulate",
    "--name",
    "port-taken",
    "--port",
    String(port),
    "--data-dir",
    `${folder}-port`,
  );
  expect(refused).toContain(`port ${port} is in use`);
  taken.close();
});

test("down --purge leaves nothing", async () => {
  await knarr(["down", "--purge", "--name", name], { env });
  await eventually("a clean machine", async () => {
    const left = (await traces()).filter((line) => !before.includes(line));
    if (left.length > 0) throw new Error(left.join("\n"));
    return true;
  });
  expect(await kubectl.ok(["config", "get-contexts", "-o", "name"])).toBe("");
});
