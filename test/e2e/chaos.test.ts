/**
 * Three nodes in trouble: a node that is cut off, one whose power goes, packets that are lost. Traffic goes to endpoints that
 * live, pods move when their tolerations end, and connections that have nothing to do with it go on.
 * https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller
 */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyNftRules, deleteNftTable, run, runOk } from "#base";
import { eventually, get } from "./harness.ts";
import { knarr } from "./knarr.ts";
import { OwnCluster, pause } from "./own-cluster.ts";

let cluster: OwnCluster;
let names: string[];
let service: string;
let line: Line;
const k = (...args: string[]) => cluster.kubectl.ok(args);
const apply = (input: string) => cluster.kubectl.ok(["apply", "-f", "-"], { input });
const linkOf = (node: number) => `knarr${slot}n${node}`;
let slot: number;

/** Ends one second after the signal, and answers until then: nobody who was still sent there is let down. */
const web = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 3
      containers:
      - name: c
        image: "busybox:1.36"
        command: [sh, -c, "touch /ready; httpd -p 80 -h /etc; exec nc -ll -p 7 -e cat"]
        readinessProbe: {exec: {command: [cat, /ready]}, periodSeconds: 1, failureThreshold: 1}
        lifecycle: {preStop: {sleep: {seconds: 1}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {selector: {app: web}, internalTrafficPolicy: Local, ports: [{port: 7}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: mover}
spec:
  replicas: 2
  selector: {matchLabels: {app: mover}}
  template:
    metadata: {labels: {app: mover}}
    spec:
      terminationGracePeriodSeconds: 0
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            preference:
              matchExpressions: [{key: node-role.kubernetes.io/control-plane, operator: DoesNotExist}]
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: mover}}}
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 3}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 3}
      containers: [{name: c, image: "busybox:1.36", command: [sleep, "100000"]}]
`;

/** One connection that is kept, and must answer. */
class Line {
  readonly #socket: Socket;
  #heard = "";
  #ended = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8").on("data", (text: string) => {
      this.#heard += text;
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#ended = true;
    });
  }

  static async open(host: string, port: number): Promise<Line> {
    const socket = connect(port, host);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new Line(socket);
  }

  async expectEcho(word: string): Promise<void> {
    this.#socket.write(`${word}\n`);
    await eventually(`the echo of ${word}`, async () => {
      if (this.#ended) throw new Error("the connection has ended");
      return this.#heard.includes(`${word}\n`) ? true : undefined;
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

interface Pod {
  name: string;
  node: string;
  address: string;
  phase: string;
}

async function pods(app: string): Promise<Pod[]> {
  const fields =
    "{.metadata.name} {.spec.nodeName} {.status.podIP} {.status.phase} {.metadata.deletionTimestamp}";
  const path = `jsonpath={range .items[*]}${fields}{'\\n'}{end}`;
  const lines = (await k("get", "pods", "-l", `app=${app}`, "-o", path)).trim().split("\n");
  return lines
    .map((text) => text.split(" "))
    .filter(([, , , , deleted]) => !deleted)
    .map(([name = "", node = "", address = "", phase = ""]) => ({ name, node, address, phase }))
    .sort((a, b) => (a.node < b.node ? -1 : 1));
}

async function readyAddresses(): Promise<string[]> {
  const path = "jsonpath={.items[*].endpoints[?(@.conditions.ready==true)].addresses[0]}";
  return (await k("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", path)).split(" ");
}

const addressOf = (name: string) => k("get", "service", name, "-o", "jsonpath={.spec.clusterIP}");

/** Everybody who answers, in so many requests. */
async function answerers(requests: number): Promise<Set<string>> {
  const seen = new Set<string>();
  for (let i = 0; i < requests; i++) seen.add((await get(`http://${service}/hostname`)).trim());
  return seen;
}

beforeAll(async () => {
  cluster = await OwnCluster.make("chaos", "--nodes", "3");
  await cluster.up();
  ({ slot } = JSON.parse(readFileSync(join(cluster.dir, "cluster.json"), "utf8")) as { slot: number });
  await knarr(["image", "busybox", "--name", cluster.name], { env: cluster.env });
  names = (await k("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")).split(" ").sort();
  await apply(web);
  await k("rollout", "status", "daemonset/web", "--timeout=90s");
  await k("rollout", "status", "deployment/mover", "--timeout=90s");
  service = await addressOf("web");
  await eventually("everybody's answers", async () => ((await answerers(20)).size === 3 ? true : undefined));
  line = await Line.open(await addressOf("echo"), 7);
});
afterAll(async () => {
  line?.close();
  await deleteNftTable("knarr_test_loss");
  await cluster.remove();
});

test("a pod that is not ready any more gets no traffic a second later, and gets it back", async () => {
  const [, second] = await pods("web");
  const isReady = async () => (await readyAddresses()).includes(second!.address);
  await k("exec", second!.name, "--", "rm", "/ready");
  await eventually("the endpoint to go", async () => ((await isReady()) ? undefined : true));
  await pause(1_000);
  expect(await answerers(20)).not.toContain(second!.name);
  await k("exec", second!.name, "--", "touch", "/ready");
  await eventually("the endpoint", async () => ((await isReady()) ? true : undefined));
  await pause(1_000);
  expect(await answerers(40)).toContain(second!.name);
  await line.expectEcho("readiness");
});

test("while pods end and others come no request fails, and a connection to another pod goes on", async () => {
  const [, second, third] = await pods("web");
  let isOver = false;
  const asking = (async () => {
    while (!isOver) await get(`http://${service}/hostname`);
  })();
  try {
    for (const gone of [second!, third!]) {
      await k("delete", "pod", gone.name, "--wait=true");
      await k("rollout", "status", "daemonset/web", "--timeout=60s");
    }
  } finally {
    isOver = true;
  }
  await asking;
  const now = new Set((await pods("web")).map(({ name }) => name));
  for (const name of await answerers(30)) expect(now).toContain(name);
  await line.expectEcho("rollout");
});

test("a fifth of the packets is lost: requests arrive all the same", async () => {
  await applyNftRules(`table ip knarr_test_loss {
  chain forward {
    type filter hook forward priority -300;
    iifname "${linkOf(3)}" numgen random mod 100 < 20 drop
    oifname "${linkOf(3)}" numgen random mod 100 < 20 drop
  }
}
`);
  const [first, , third] = await pods("web");
  for (let i = 0; i < 5; i++) {
    const answer = await k(
      "exec",
      first!.name,
      "--",
      "timeout",
      "20",
      "wget",
      "-qO-",
      `http://${third!.address}/hostname`,
    );
    expect(answer).toBe(`${third!.name}\n`);
  }
  await deleteNftTable("knarr_test_loss");
  await line.expectEcho("loss");
});

/** The power goes: every process of the node ends at once, and its cable is dead. */
async function cutPower(node: number): Promise<void> {
  await runOk("ip", ["link", "set", linkOf(node), "down"]);
  const dir = join(cluster.dir, "nodes", String(node));
  const { stdout } = await run("pgrep", ["-f", `${dir}(/| |$)`]);
  const { stdout: own } = await run("find", [
    "/sys/fs/cgroup",
    "-path",
    `*${cluster.name}.${names[node - 1]}*`,
    "-name",
    "cgroup.procs",
    "-exec",
    "cat",
    "{}",
    "+",
  ]);
  const pids = new Set([...stdout.split("\n"), ...own.split("\n")].filter(Boolean).map(Number));
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}

test("a node that is cut off and one whose power goes: traffic goes elsewhere, pods move, both come back", {
  timeout: 240_000,
}, async () => {
  expect((await pods("mover")).map(({ node }) => node)).toEqual(names.slice(1));
  const [first, second, third] = await pods("web");
  await cutPower(2);
  await runOk("ip", ["link", "set", linkOf(3), "down"]);
  await eventually(
    "the endpoints to go",
    async () => {
      const ready = await readyAddresses();
      return ready.includes(second!.address) || ready.includes(third!.address) ? undefined : true;
    },
    90_000,
  );
  await pause(1_000);
  expect([...(await answerers(20))]).toEqual([first!.name]);
  await line.expectEcho("alone");
  await eventually(
    "pods that run elsewhere",
    async () => {
      const here = (await pods("mover")).filter(
        ({ node, phase }) => node === names[0] && phase === "Running",
      );
      return here.length === 2 ? true : undefined;
    },
    60_000,
  );
  for (const node of [2, 3]) await runOk("ip", ["link", "set", linkOf(node), "up"]);
  await cluster.up();
  await eventually(
    "everybody's answers",
    async () => ((await answerers(20)).size === 3 ? true : undefined),
    90_000,
  );
  await line.expectEcho("healed");
});
