/** All probers of the node, by container, and what they found. */
import type { corev1 } from "#api";
import type { World } from "#base";
import type { ContainerRuntime } from "#contracts";
import { isRunning, latestContainer, type ObservedPod } from "../pod-state.ts";
import type { CheckResult } from "./check.ts";
import type { ProbeCount } from "./metrics.ts";
import { type ProbeKind, type Prober, startProber } from "./prober.ts";

export interface ProbeManager {
  /** Starts probers for what runs and has none, ends those of what no longer runs. */
  follow(pod: Readonly<corev1.Pod>, state: ObservedPod, podIp: string, ending: boolean): void;
  isStarted(containerId: string): boolean;
  isReady(containerId: string): boolean;
  /** Containers of a pod that a probe condemned. */
  unhealthy(podUid: string): Map<string, "liveness" | "startup">;
  forget(podUid: string): void;
  /** What every probe has said so far, of the containers that run. */
  counts(): ProbeCount[];
  stop(): void;
}

interface Watched {
  podUid: string;
  counts: Map<ProbeKind, ProbeCount>;
  probers: Map<ProbeKind, Prober>;
  started: boolean;
  ready: boolean;
  condemned: "liveness" | "startup" | undefined;
}

const probeOf = (container: Readonly<corev1.Container>, kind: ProbeKind) =>
  kind === "startup"
    ? container.startupProbe
    : kind === "readiness"
      ? container.readinessProbe
      : container.livenessProbe;

const kindWords: Record<ProbeKind, string> = {
  startup: "Startup",
  readiness: "Readiness",
  liveness: "Liveness",
};

export interface ProbeManagerOptions {
  runtime: ContainerRuntime;
  world: World;
  wake(podUid: string): void;
  say(
    pod: Readonly<corev1.Pod>,
    container: string,
    kind: "Normal" | "Warning",
    reason: string,
    message: string,
  ): void;
}

/** What an event tells of an attempt, if it is worth one. */
function resultWords({ ok, warns, errored, message }: CheckResult): string | undefined {
  if (errored) return `errored and resulted in ${errored} state: ${message}`;
  if (warns) return `warning: ${message}`;
  return ok ? undefined : `failed: ${message}`;
}

/** What is known of a container before its first probe. A kubelet that starts anew goes on from what it reported. */
function firstEntry(
  pod: Readonly<corev1.Pod>,
  spec: Readonly<corev1.Container>,
  containerId: string,
): Watched {
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  const before = statuses.find((s) => s.containerID?.endsWith(containerId));
  return {
    podUid: pod.metadata.uid,
    counts: new Map(),
    probers: new Map(),
    started: !spec.startupProbe || before?.started === true,
    ready: !spec.readinessProbe || before?.ready === true,
    condemned: undefined,
  };
}

function beginProbes(
  options: ProbeManagerOptions,
  entry: Watched,
  pod: Readonly<corev1.Pod>,
  spec: Readonly<corev1.Container>,
  target: { id: string; startedAt: number; podIp: string },
): void {
  const verdict = (kind: ProbeKind, healthy: boolean) => {
    if (kind === "readiness") entry.ready = healthy;
    else if (!healthy) entry.condemned = kind;
    else if (kind === "startup") entry.started = true;
    options.wake(entry.podUid);
  };
  for (const kind of ["startup", "readiness", "liveness"] as const) {
    const probe = probeOf(spec, kind);
    if (!probe || (kind === "startup" && entry.started)) continue;
    const { name, namespace = "", uid } = pod.metadata;
    const count = { container: spec.name, pod: name, namespace, uid, kind, successful: 0, failed: 0 };
    entry.counts.set(kind, count);
    const prober = startProber({
      kind,
      probe,
      container: spec,
      containerId: target.id,
      podIp: target.podIp,
      runtime: options.runtime,
      world: options.world,
      clock: options.world.clock,
      startedMs: target.startedAt / 1e6,
      mayRun: () => kind === "startup" || entry.started,
      onVerdict: (healthy) => verdict(kind, healthy),
      onResult: (result) => {
        if (!result.errored) count[result.ok ? "successful" : "failed"]++;
        const words = resultWords(result);
        if (!words) return;
        const reason = result.warns ? "ProbeWarning" : "Unhealthy";
        options.say(pod, spec.name, "Warning", reason, `${kindWords[kind]} probe ${words}`);
      },
    });
    entry.probers.set(kind, prober);
  }
}

export function createProbeManager(options: ProbeManagerOptions): ProbeManager {
  const watched = new Map<string, Watched>();

  function end(id: string): void {
    for (const prober of watched.get(id)?.probers.values() ?? []) prober.stop();
    watched.delete(id);
  }

  return {
    follow(pod, state, podIp, ending) {
      const running = new Set<string>();
      for (const spec of [...pod.spec.containers, ...(pod.spec.initContainers ?? [])]) {
        const latest = latestContainer(state, spec.name);
        if (!latest || !isRunning(latest)) continue;
        running.add(latest.id);
        const known = watched.get(latest.id);
        const entry = known ?? firstEntry(pod, spec, latest.id);
        watched.set(latest.id, entry);
        if (!known && !ending) beginProbes(options, entry, pod, spec, { ...latest, podIp });
        // A pod that ends is still probed for readiness: its endpoints tell who may still be asked.
        if (ending) for (const kind of ["liveness", "startup"] as const) entry.probers.get(kind)?.stop();
      }
      for (const [id, entry] of watched) if (entry.podUid === pod.metadata.uid && !running.has(id)) end(id);
    },
    isStarted: (id) => watched.get(id)?.started ?? false,
    isReady: (id) => watched.get(id)?.ready ?? false,
    unhealthy(podUid) {
      const result = new Map<string, "liveness" | "startup">();
      for (const [id, { podUid: uid, condemned }] of watched)
        if (uid === podUid && condemned) result.set(id, condemned);
      return result;
    },
    forget(podUid) {
      for (const [id, entry] of watched) if (entry.podUid === podUid) end(id);
    },
    counts: () => [...watched.values()].flatMap(({ counts }) => [...counts.values()]),
    stop() {
      for (const id of [...watched.keys()]) end(id);
    },
  };
}
