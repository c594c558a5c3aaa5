/** What requests to the kubelet's server have in common: naming a pod and a container, and being refused. */
import type { IncomingMessage } from "node:http";
import type { corev1 } from "#api";
import { containerNamed } from "../pod-containers.ts";
import type { PodContext } from "../pod-context.ts";
import { latestContainer, type ObservedContainer, type ObservedPod } from "../pod-state.ts";
import type { PodWorker } from "../pod-worker.ts";
import type { PodWorkers } from "../pod-workers.ts";

export class HttpError extends Error {
  override name = "HttpError";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface Serving {
  context: PodContext;
  workers: PodWorkers;
}

export interface StreamServing extends Serving {
  /** A stream is closed on which the runtime neither said nor was told anything for so long. */
  idleMs: number;
}

export interface PodTarget {
  pod: Readonly<corev1.Pod>;
  state: ObservedPod;
}

export function urlOf(request: IncomingMessage): URL {
  const url = URL.parse(request.url ?? "/", "https://kubelet");
  if (!url) throw new HttpError(400, "malformed path");
  return url;
}

/** `/verb/namespace/name[/uid]/container`: the parts after the verb. */
export function pathParts(url: URL): string[] {
  try {
    return url.pathname.split("/").slice(2).map(decodeURIComponent);
  } catch {
    throw new HttpError(400, "malformed path");
  }
}

export function findWorker({ workers }: Serving, namespace = "", name = ""): PodWorker {
  const worker = workers.find(namespace, name);
  if (!worker) throw new HttpError(404, `pod "${name}" not found in namespace "${namespace}"`);
  return worker;
}

export async function findPod(serving: Serving, namespace = "", name = ""): Promise<PodTarget> {
  const worker = findWorker(serving, namespace, name);
  return { pod: worker.pod, state: await serving.context.reader.look(worker.uid) };
}

/** As upstream words it for who asks for logs. */
const imageTroubles: Readonly<Record<string, string>> = {
  ErrImagePull: "image can't be pulled",
  ImagePullBackOff: "trying and failing to pull image",
};

/** The newest container of that name, or the one before it. */
export function findContainer(target: PodTarget, name: string, previous: boolean): ObservedContainer {
  const { pod, state } = target;
  if (!containerNamed(pod, name))
    throw new HttpError(400, `container ${name} is not valid for pod ${pod.metadata.name}`);
  const status = statusNamed(pod, name);
  if (previous) {
    const [newest, ...older] = state.containers.filter((c) => c.name === name);
    // While the next one is held back, what has just ended is the one before.
    const isHeldBack = newest?.state === "CONTAINER_EXITED" && status?.state?.waiting !== undefined;
    const before = isHeldBack ? newest : older.find((c) => c.state === "CONTAINER_EXITED");
    if (before) return before;
    const words = `previous terminated container "${name}" in pod "${pod.metadata.name}" not found`;
    throw new HttpError(400, words);
  }
  const latest = latestContainer(state, name);
  if (latest) return latest;
  const reason = status?.state?.waiting?.reason ?? "ContainerCreating";
  const why = imageTroubles[reason] ?? reason;
  throw new HttpError(400, `container "${name}" in pod "${pod.metadata.name}" is waiting to start: ${why}`);
}

function statusNamed({ status }: Readonly<corev1.Pod>, name: string): corev1.ContainerStatus | undefined {
  const own = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  return [...own, ...(status?.ephemeralContainerStatuses ?? [])].find((s) => s.name === name);
}

/** A whole number of at least `min`; undefined when the parameter is absent. */
export function numberParameter(url: URL, name: string, min: number): number | undefined {
  const text = url.searchParams.get(name);
  if (text === null || text === "") return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < min) throw new HttpError(400, `invalid ${name}: ${text}`);
  return value;
}

export function booleanParameter(url: URL, ...names: string[]): boolean {
  return names.some((name) => ["1", "true"].includes(url.searchParams.get(name) ?? ""));
}
