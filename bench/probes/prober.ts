/** The process that probes: as many a second as it is told, of the port it is told. Prints what that cost. */
import type { corev1 } from "#api";
import { createWorld, optimizeAfterLastingWork, silentLogger, systemClock } from "#base";
import type { ContainerRuntime } from "#contracts";
import { createProbeManager } from "../../src/kubelet/probes/manager.ts";

/** An agent has optimized its code by then. */
const settleMs = 40_000;
const measureMs = 6_000;

const [kind, portText, countText] = process.argv.slice(2);
const [port, count] = [Number(portText), Number(countText)];
const handler: Partial<corev1.Probe> =
  kind === "HTTP" ? { httpGet: { port, path: "/" } } : { tcpSocket: { port } };

const optimizing = optimizeAfterLastingWork(systemClock);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function followOne(probes: ReturnType<typeof createProbeManager>, probe: corev1.Probe, i: number): void {
  const metadata = { name: `p${i}`, uid: `u${i}`, namespace: "bench" };
  const pod = { metadata, spec: { containers: [{ name: "c", readinessProbe: probe }] } };
  const container = { id: `c${i}`, name: "c", state: "CONTAINER_RUNNING", startedAt: Date.now() * 1e6 };
  const state = { uid: `u${i}`, sandboxes: [], containers: [container] };
  probes.follow(pod as never, state as never, "127.0.0.1", false);
}

const world = createWorld({ log: silentLogger });
const probes = createProbeManager({ runtime: {} as ContainerRuntime, world, wake: () => {}, say: () => {} });
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
await optimizing.stop();
process.stdout.write(JSON.stringify({ percent: (user + system) / 1e4 / seconds, perSecond }));
