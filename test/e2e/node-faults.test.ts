/** What can happen to a node: containerd dies or cannot start, a program is missing, the server dies at the wrong moment. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunResult, run, runOk } from "#base";
import { eventually, root } from "./harness.ts";
import { knarr } from "./knarr.ts";
import { isAlive, OwnCluster, pause } from "./own-cluster.ts";

/** The one that would be started: another version may stand before the machine's own. */
const containerd = (await run("sh", ["-c", "command -v containerd"])).stdout.trim() || "/usr/bin/containerd";

let cluster: OwnCluster;
beforeAll(async () => {
  cluster = await OwnCluster.make("node");
});
afterAll(() => cluster.remove());

describe("a machine that is not ready", () => {
  /** `knarr up` where `hidden` (a path of the machine) shows `shown` instead; nothing outside sees it. */
  function upWith(hidden: string, shown: string, ...flags: string[]): Promise<RunResult> {
    const script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
    const command = [join(root, "knarr"), ...cluster.upArguments, ...flags];
    return run("unshare", ["-m", "sh", "-c", script, "sh", shown, hidden, ...command], {
      env: cluster.env,
      timeoutMs: 60_000,
    });
  }

  async function fakeContainerd(script: string): Promise<string> {
    const file = join(cluster.home, "fake-containerd");
    await writeFile(file, `#!/bin/sh\n${script}\n`);
    await chmod(file, 0o755);
    return file;
  }

  function expectRefusal(result: RunResult, problem: string | RegExp, mend: string | RegExp): void {
    expect(result.code, result.stdout).toBe(1);
    expect(result.stderr).toMatch(problem);
    expect(result.stderr).toMatch(/✗ .+\n( {2}.+\n)*/);
    expect(result.stderr.split("→").at(-1)).toMatch(mend);
    expect(result.stderr).not.toMatch(/^\s+at /m);
  }

  test.each([
    ["/usr/sbin/nft", "nftables"],
    // Where another one stands before it, that is found.
    ...(containerd === "/usr/bin/containerd" ? [[containerd, "containerd"]] : []),
  ])("without %s it names the package", async (program, name) => {
    const result = await upWith(program, "/dev/null", "--no-install");
    expectRefusal(result, `missing: ${name}`, `apt-get install ${name}`);
  });

  test("without the CNI plugins it names the package", async () => {
    const empty = join(cluster.home, "empty");
    await mkdir(empty);
    const result = await upWith("/usr/lib/cni", empty, "--no-install");
    expectRefusal(
      result,
      "missing: containernetworking-plugins",
      "apt-get install containernetworking-plugins",
    );
  });

  test("a containerd that is too old is named", async () => {
    const fake = await fakeContainerd('echo "containerd github.com/containerd/containerd 1.4.13 abc"');
    expectRefusal(await upWith(containerd, fake), "containerd 1.4 is too old", "1.6 or newer");
  });

  test("a containerd that cannot start is quoted, soon", async () => {
    const fake = await fakeContainerd(
      'case "$1" in --version) echo "containerd containerd.io 1.7.2 x";; *) echo "the hold is flooded" >&2; exit 1;; esac',
    );
    const result = await upWith(containerd, fake);
    expectRefusal(result, "the hold is flooded", "containerd.log");
  }, 30_000);

  test("a containerd that is no program at all", async () => {
    const fake = join(cluster.home, "no-program");
    await writeFile(fake, "\x7fELFnothing");
    await chmod(fake, 0o755);
    expectRefusal(await upWith(containerd, fake), /containerd/, /containerd/);
  });

  test("no process is left of all these, and with everything in place it starts", async () => {
    const processes = (await run("ps", ["-eo", "args"])).stdout.split("\n");
    expect(processes.filter((line) => line.includes(cluster.dir))).toEqual([]);
    await cluster.up();
    await knarr(["image", "busybox", "--name", cluster.name], { env: cluster.env });
  });
});

interface PodSeen {
  metadata: { name: string; uid: string };
  status: {
    phase: string;
    containerStatuses?: {
      containerID: string;
      restartCount: number;
      ready: boolean;
      state: { terminated?: { exitCode: number } };
    }[];
  };
}

async function podsOf(label: string): Promise<PodSeen[]> {
  return (await cluster.kubectl.json<{ items: PodSeen[] }>(["get", "pods", "-l", `app=${label}`])).items;
}

async function pod(name: string, script: string, restartPolicy: string): Promise<void> {
  const object = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name } },
    spec: {
      restartPolicy,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "main", image: "busybox:1.36", command: ["sh", "-c", script] }],
    },
  };
  await cluster.kubectl.ok(["create", "-f", "-"], { input: JSON.stringify(object) });
}

function seen(name: string, wanted: (pod: PodSeen) => boolean): Promise<PodSeen> {
  return eventually(name, async () => (await podsOf(name)).find(wanted));
}

/** Processes of this machine with exactly these words. */
function processesOf(...words: string[]): string[] {
  const wanted = `${words.join("\0")}\0`;
  return readdirSync("/proc").filter((entry) => {
    try {
      return /^\d+$/.test(entry) && readFileSync(`/proc/${entry}/cmdline`, "utf8") === wanted;
    } catch {
      return false;
    }
  });
}

const running = (p: PodSeen) => p.status.containerStatuses?.[0]?.ready === true;

test("containerd killed again and again: pods run on, new ones start", async () => {
  await pod("steady", "sleep 100000", "Always");
  const before = await seen("steady", running);
  const pidFile = join(cluster.dir, "containerd", "containerd.pid");
  const pid = () => (JSON.parse(readFileSync(pidFile, "utf8")) as { pid: number }).pid;
  for (let round = 0; round < 3; round++) {
    const victim = pid();
    await cluster.kill(victim);
    if (round === 1) await pod("during", "sleep 100000", "Always");
    await eventually("another containerd", async () =>
      pid() !== victim && isAlive(pid()) ? true : undefined,
    );
  }
  await seen("during", running);
  expect((await seen("steady", running)).status.containerStatuses).toEqual(before.status.containerStatuses);
  await cluster.kubectl.ok(["wait", "--for=condition=Ready", "node", "--all", "--timeout=30s"]);
});

const inotifyLimit = "/proc/sys/fs/inotify/max_user_instances";

test("without a single inotify left pods start, and containerd comes back once there are some", async () => {
  const limit = readFileSync(inotifyLimit, "utf8").trim();
  const before = await seen("steady", running);
  // By a process of its own: the machine gets its limit back, whatever becomes of this test.
  const script = `echo 0 > ${inotifyLimit}; sleep 3; echo ${limit} > ${inotifyLimit}`;
  spawn("sh", ["-c", script], { detached: true, stdio: "ignore" }).unref();
  await eventually("no inotify", async () =>
    readFileSync(inotifyLimit, "utf8").trim() === "0" ? true : undefined,
  );
  await pod("watchless", "sleep 100000", "Always");
  await seen("watchless", running);
  const pidFile = join(cluster.dir, "containerd", "containerd.pid");
  process.kill((JSON.parse(readFileSync(pidFile, "utf8")) as { pid: number }).pid, "SIGKILL");
  await eventually("the limit as it was", async () =>
    readFileSync(inotifyLimit, "utf8").trim() === limit ? true : undefined,
  );
  await pod("again", "sleep 100000", "Always");
  await seen("again", running);
  expect((await seen("steady", running)).status.containerStatuses).toEqual(before.status.containerStatuses);
});

test("the server killed while pods are being created: each comes up, once", async () => {
  const words = ["sleep", `${200_000 + process.pid}`];
  await cluster.kubectl.ok([
    "create",
    "deployment",
    "many",
    "--image=busybox:1.36",
    "--replicas=12",
    "--",
    ...words,
  ]);
  await pause(400);
  await cluster.kill();
  await cluster.up();
  await cluster.kubectl.ok(["rollout", "status", "deployment/many", "--timeout=60s"]);
  const pods = await podsOf("many");
  expect(pods.length).toBe(12);
  // A container that was made but not started yet is made again, and counts as a restart, as upstream counts it.
  for (const { status } of pods) expect(status.containerStatuses?.[0]?.restartCount).toBeLessThanOrEqual(1);
  await eventually("twelve processes", async () => (processesOf(...words).length === 12 ? true : undefined));
  await cluster.kubectl.ok(["delete", "deployment", "many", "--wait=false"]);
});

/** The server that is up next dies where `failpoint` stands. */
async function upUntil(failpoint: string): Promise<number> {
  await cluster.kill();
  await knarr(cluster.upArguments, { env: { ...cluster.env, KNARR_FAILPOINTS: `${failpoint}=kill` } });
  return cluster.pid();
}

const ended = (pid: number) =>
  eventually("the end of the server", async () => (isAlive(pid) ? undefined : true), 20_000);

describe("kill -9 at the worst moments", () => {
  const words = ["sleep", `${300_000 + process.pid}`];
  const run = (name: string) => pod(name, `exec ${words.join(" ")}`, "Always");

  test.each(["kubelet/sandbox-made", "kubelet/container-made", "kubelet/container-started"])(
    "of a pod's beginning (%s): it comes up, once",
    async (failpoint) => {
      const name = `at-${failpoint.split("/")[1]}`;
      const pid = await upUntil(failpoint);
      await run(name);
      await ended(pid);
      await cluster.up();
      const { status } = await seen(name, running);
      expect(status.containerStatuses![0]!.restartCount).toBeLessThanOrEqual(1);
      expect(processesOf(...words).length).toBe(1);
      await cluster.kubectl.ok(["delete", "pod", name]);
      await eventually("its end", async () => (processesOf(...words).length === 0 ? true : undefined));
    },
  );

  test.each(["kubelet/pod-stopped", "kubelet/pod-deleted"])(
    "of a pod's end (%s): nothing of it stays",
    async (failpoint) => {
      const name = `at-${failpoint.split("/")[1]}`;
      await run(name);
      const { metadata } = await seen(name, running);
      const pid = await upUntil(failpoint);
      await cluster.kubectl.ok(["delete", "pod", name, "--wait=false"]);
      await ended(pid);
      await cluster.up();
      await cluster.kubectl.ok(["wait", "--for=delete", `pod/${name}`, "--timeout=30s"]);
      await eventually("nothing of it", async () => {
        const left = [
          ...processesOf(...words),
          ...["kubelet/pods", "pod-logs/pods", "pod-logs/containers"].flatMap((folder) =>
            readdirSync(join(cluster.dir, folder)).filter(
              (entry) => entry.includes(metadata.uid) || entry.startsWith(`${name}_`),
            ),
          ),
        ];
        if (left.length > 0) throw new Error(left.join(" "));
        return true;
      });
    },
  );
});

test("pods that ended while nobody looked get what their restart policy says", async () => {
  const script = (code: number) => `sleep 3; exit ${code}`;
  await pod("never", script(3), "Never");
  await pod("done", script(0), "OnFailure");
  await pod("failed", `[ -e /tmp/again ] || { touch /tmp/again; ${script(1)}; }; sleep 100000`, "OnFailure");
  await pod("always", script(0), "Always");
  for (const name of ["never", "done", "failed", "always"]) await seen(name, running);
  await cluster.kill();
  await pause(4_000);
  await cluster.up();
  const never = await seen("never", (p) => p.status.phase === "Failed");
  expect(never.status.containerStatuses![0]).toMatchObject({
    restartCount: 0,
    state: { terminated: { exitCode: 3 } },
  });
  expect(
    (await seen("done", (p) => p.status.phase === "Succeeded")).status.containerStatuses![0]!.restartCount,
  ).toBe(0);
  for (const name of ["failed", "always"])
    await seen(name, (p) => p.status.containerStatuses![0]!.restartCount > 0);
  expect((await seen("steady", running)).status.containerStatuses![0]!.restartCount).toBe(0);
});

test("after down --purge nothing is left of all this", async () => {
  await cluster.down("--purge");
  await cluster.expectNothingLeft();
});

describe("a full disk below containerd", () => {
  let other: OwnCluster;
  let disk: string;

  beforeAll(async () => {
    other = await OwnCluster.make("full");
    disk = join(other.dir, "containerd");
    await mkdir(disk);
    await runOk("mount", ["-t", "tmpfs", "-o", "size=96m,mode=0711", "tmpfs", disk]);
    await other.up();
    await knarr(["image", "busybox", "--name", other.name], { env: other.env });
  });
  afterAll(async () => {
    await other.down("--purge");
    await run("umount", [disk]);
    await other.remove();
  });

  const create = (name: string) =>
    other.kubectl.ok(["run", name, "--image=busybox:1.36", "--", "sleep", "100000"]);
  const ready = (name: string) =>
    other.kubectl.ok(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s"]);

  test("new pods wait and say why, and come up once there is space; those that run, run on", async () => {
    await create("before");
    await ready("before");
    const filler = join(disk, "filler");
    await run("dd", ["if=/dev/zero", `of=${filler}`, "bs=4k", "count=100000"]);
    await create("during");
    await eventually("why", async () => {
      const about = ["get", "events", "--field-selector", "involvedObject.name=during"];
      const said = await other.kubectl.ok([...about, "-o", "jsonpath={.items[*].message}"]);
      return /no space left on device/.test(said) ? true : undefined;
    });
    expect(await other.kubectl.ok(["logs", "before"])).toBe("");
    await runOk("rm", [filler]);
    await ready("during");
    expect(
      await other.kubectl.ok([
        "get",
        "pod",
        "before",
        "-o",
        "jsonpath={.status.containerStatuses[0].restartCount}",
      ]),
    ).toBe("0");
  });
});
