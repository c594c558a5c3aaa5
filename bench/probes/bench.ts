/** What probing costs: a thousand probes a second, of servers in another process. */
import { spawn } from "node:child_process";
import type { corev1 } from "#api";
import { createWorld, silentLogger } from "#base";
import type { ContainerRuntime } from "#contracts";
import { createProbeManager } from "../../src/kubelet/probes/manager.ts";
import type { Benchmark, Row } from "../measure.ts";

const count = 1_000;
const settleMs = 3_000;
const measureMs = 6_000;

const serverCode = `require("http").createServer((q, s) => s.end("ok")).listen(0, "127.0.0.1", function () {
  console.log(this.address().port);
})`;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function followOne(probes: ReturnType<typeof createProbeManager>, probe: corev1.Probe, i: number): void {
  const metadata = { name: `p${i}`, uid: `u${i}`, namespace: "bench" };
  const pod = { metadata, spec: { containers: [{ name: "c", readinessProbe: probe }] } };
  const container = { id: `c${i}`, name: "c", state: "CONTAINER_RUNNING", startedAt: Date.now() * 1e6 };
  const state = { uid: `u${i}`, sandboxes: [], containers: [container] };
  probes.follow(pod as never, state as never, "127.0.0.1", false);
}

/** Percent of one core, at `count` probes a second. */
async function costOf(handler: Partial<corev1.Probe>): Promise<{ percent: number; perSecond: number }> {
  const world = createWorld({ log: silentLogger });
  const runtime = {} as ContainerRuntime;
  const probes = createProbeManager({ runtime, world, wake: () => {}, say: () => {} });
  for (let i = 0; i < count; i++)
    setTimeout(() => followOne(probes, { periodSeconds: 1, ...handler }, i), (i * 1000) / count);
  await pause(settleMs);
  const done = () => probes.counts().reduce((sum, each) => sum + each.successful, 0);
  const [doneBefore, startMs, before] = [done(), performance.now(), process.cpuUsage()];
  await pause(measureMs);
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - startMs) / 1000;
  const perSecond = (done() - doneBefore) / seconds;
  probes.stop();
  return { percent: (user + system) / 1e4 / seconds, perSecond };
}

export default async function bench(): Promise<Benchmark> {
  const server = spawn(process.execPath, ["-e", serverCode], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const port = await new Promise<number>((resolve) =>
      server.stdout.once("data", (text) => resolve(Number(text))),
    );
    const rows: Row[] = [];
    for (const [what, handler] of [
      ["HTTP", { httpGet: { port, path: "/" } }],
      ["TCP", { tcpSocket: { port } }],
    ] as const) {
      const { percent, perSecond } = await costOf(handler);
      const note = `${Math.round(perSecond)} succeeded a second`;
      rows.push({ what: `${what} probes, of one core`, unit: "%", samples: [percent], goal: 20, note });
    }
    return { title: `${count} probes a second, each with a connection of its own`, rows };
  } finally {
    server.kill();
  }
}
