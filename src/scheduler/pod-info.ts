/**
 * A pod with everything that is asked of it again and again. Pods that ask for the same (those of one Deployment, mostly)
 * share one shape: it is worked out once, and what a cycle learns about it serves all of them.
 */
import type { corev1 } from "#api";
import { joinKey } from "#client";
import { asHeld } from "./resizing.ts";
import { podRequest, type Resources } from "./resources.ts";

export type Pod = Readonly<corev1.Pod>;
export type AffinityTerm = Readonly<corev1.PodAffinityTerm>;

/** A port of the host: two pods may not take the same. */
export interface HostPort {
  protocol: string;
  ip: string;
  port: number;
}

/** What placement asks of a pod; nothing here depends on which pod of its kind it is. */
export interface PodShape {
  /** Equal for pods that are placed alike. */
  readonly signature: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly priority: number;
  readonly request: Readonly<Resources>;
  /** As compared between nodes: containers without requests count a little. */
  readonly assumed: Readonly<Resources>;
  readonly hostPorts: readonly HostPort[];
}

export interface PodInfo extends Pick<PodShape, "request" | "assumed" | "hostPorts"> {
  readonly pod: Pod;
  readonly key: string;
  readonly shape: PodShape;
}

const shapesMax = 8_192;
const shapes = new Map<string, PodShape>();

export function podInfoOf(pod: Pod): PodInfo {
  const shape = shapeOf(pod);
  const { request, assumed, hostPorts } = shape;
  const key = joinKey(pod.metadata.namespace, pod.metadata.name);
  const held = asHeld(pod);
  if (held === pod) return { pod, key, shape, request, assumed, hostPorts };
  return { pod, key, shape, request: podRequest(held), assumed: podRequest(held, true), hostPorts };
}

export function priorityOf(pod: Pod): number {
  return pod.spec.priority ?? 0;
}

/** It is going because the scheduler told it to. */
export function isPreempted({ metadata, status }: Pod): boolean {
  const condition = status?.conditions?.find((each) => each.type === "DisruptionTarget");
  return (
    metadata.deletionTimestamp !== undefined &&
    condition?.status === "True" &&
    condition.reason === "PreemptionByScheduler"
  );
}

function shapeOf(pod: Pod): PodShape {
  const signature = signatureOf(pod);
  const known = shapes.get(signature);
  if (known) return known;
  const shape: PodShape = {
    signature,
    namespace: pod.metadata.namespace ?? "",
    labels: pod.metadata.labels ?? {},
    priority: priorityOf(pod),
    request: podRequest(pod),
    assumed: podRequest(pod, true),
    hostPorts: hostPortsOf(pod),
  };
  if (shapes.size >= shapesMax) shapes.clear();
  shapes.set(signature, shape);
  return shape;
}

/** All that any plugin looks at. Volumes count only where they tie a pod to nodes: token volumes have names of their own. */
function signatureOf({ metadata, spec }: Pod): string {
  const owner = metadata.ownerReferences?.find((each) => each.controller);
  return JSON.stringify([
    metadata.namespace,
    metadata.labels,
    owner?.uid,
    spec.priority,
    spec.schedulerName,
    spec.nodeSelector,
    spec.affinity,
    spec.tolerations,
    spec.topologySpreadConstraints,
    spec.overhead,
    spec.resources,
    spec.resourceClaims,
    spec.containers.map(traitsOf),
    spec.initContainers?.map(traitsOf),
    spec.volumes?.filter(tiesToNodes),
  ]);
}

function traitsOf({ image, resources, ports, restartPolicy }: Readonly<corev1.Container>) {
  return [image, resources, ports?.filter((port) => port.hostPort), restartPolicy];
}

function tiesToNodes(volume: Readonly<corev1.Volume>): boolean {
  return Boolean(
    volume.persistentVolumeClaim ||
      volume.ephemeral ||
      volume.gcePersistentDisk ||
      volume.awsElasticBlockStore ||
      volume.iscsi ||
      volume.rbd ||
      volume.csi,
  );
}

function hostPortsOf({ spec }: Pod): HostPort[] {
  const sidecars = (spec.initContainers ?? []).filter((each) => each.restartPolicy === "Always");
  return [...spec.containers, ...sidecars].flatMap((container) =>
    (container.ports ?? [])
      .filter((port) => port.hostPort)
      .map((port) => ({
        protocol: port.protocol ?? "TCP",
        ip: port.hostIP || "0.0.0.0",
        port: port.hostPort!,
      })),
  );
}
