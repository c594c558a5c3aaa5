/**
 * A pod from a file of this node: what the file says, and what makes it this node's. Pure.
 * https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
 */
import { createHash } from "node:crypto";
import { parse } from "yaml";
import { type corev1, type Draft, formatTime, pods } from "#api";
import { messageOf } from "#base";

const sourceAnnotation = "kubernetes.io/config.source";
const hashAnnotation = "kubernetes.io/config.hash";
const seenAnnotation = "kubernetes.io/config.seen";
export const mirrorAnnotation = "kubernetes.io/config.mirror";

/** The file does not describe a pod that could run. */
export class ManifestError extends Error {
  override name = "ManifestError";
}

/** What only the API server could look up for a pod. */
function referenceOf({ spec }: Readonly<corev1.Pod>): string | undefined {
  if (spec.serviceAccountName) return "serviceaccounts";
  if (spec.imagePullSecrets?.length) return "secrets";
  if (spec.resourceClaims?.length) return "resourceclaims";
  for (const volume of spec.volumes ?? []) {
    if (volume.configMap) return "configmaps";
    if (volume.secret) return "secrets";
    if (volume.persistentVolumeClaim || volume.ephemeral) return "persistentvolumeclaims";
    if (volume.projected?.sources?.some((each) => each.serviceAccountToken)) return "serviceaccounts";
    if (volume.projected?.sources?.some((each) => each.configMap)) return "configmaps";
    if (volume.projected?.sources?.some((each) => each.secret)) return "secrets";
  }
  for (const { env = [], envFrom = [] } of [...spec.containers, ...(spec.initContainers ?? [])]) {
    if (env.some(({ valueFrom }) => valueFrom?.configMapKeyRef)) return "configmaps";
    if (env.some(({ valueFrom }) => valueFrom?.secretKeyRef)) return "secrets";
    if (envFrom.some(({ configMapRef }) => configMapRef)) return "configmaps";
    if (envFrom.some(({ secretRef }) => secretRef)) return "secrets";
  }
  return undefined;
}

/** Every taint that would send it away is borne: nobody could bring it back. */
const bearsAll = { operator: "Exists", effect: "NoExecute" } as const;

function podOf(content: string): corev1.Pod {
  const value: unknown = parse(content, { maxAliasCount: 100, logLevel: "error" });
  const { apiVersion, kind, metadata, spec } = Object(value) as Partial<corev1.Pod>;
  if (apiVersion !== "v1" || kind !== "Pod")
    throw new ManifestError(`it is ${apiVersion} ${kind}, not v1 Pod`);
  if (typeof metadata?.name !== "string" || typeof spec !== "object" || spec === null)
    throw new ManifestError("it needs metadata.name and spec");
  return structuredClone({ apiVersion, kind, metadata, spec }) as corev1.Pod;
}

export interface ManifestPlace {
  file?: string;
  /** In place of a file. */
  url?: string;
  nodeName: string;
  nowMs: number;
}

/** Throws `ManifestError`. */
export function staticPodOf(content: string, { file, url, nodeName, nowMs }: ManifestPlace): corev1.Pod {
  try {
    const given = podOf(content);
    const { name, namespace = "default", labels, annotations } = given.metadata;
    const hash = createHash("md5")
      .update(JSON.stringify([`host:${nodeName}`, url === undefined ? `file:${file}` : `url:${url}`, given]))
      .digest("hex");
    const uid = given.metadata.uid || hash;
    const pod: corev1.Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: `${name}-${nodeName}`,
        namespace,
        ...(labels ? { labels } : {}),
        annotations: {
          ...annotations,
          [hashAnnotation]: hash,
          [seenAnnotation]: formatTime(nowMs),
          [sourceAnnotation]: url === undefined ? "file" : "http",
        },
        uid,
        resourceVersion: "",
        creationTimestamp: formatTime(nowMs),
      },
      spec: { ...given.spec, nodeName, tolerations: [...(given.spec.tolerations ?? []), bearsAll] },
      status: {},
    };
    pods.defaults(pod);
    const [error] = pods.validate(pod);
    if (error) throw new ManifestError(`${error.field}: ${error.message}`);
    const reference = referenceOf(pod);
    if (reference) throw new ManifestError(`static pods may not reference ${reference}`);
    return pod;
  } catch (error) {
    // A file may hold anything at any place: what the validators stumble over is no pod.
    throw error instanceof ManifestError ? error : new ManifestError(messageOf(error));
  }
}

export const fullNameOf = ({ metadata }: Readonly<corev1.Pod>) => `${metadata.namespace}/${metadata.name}`;

export const hashOf = ({ metadata }: Readonly<corev1.Pod>) => metadata.annotations?.[hashAnnotation] ?? "";

export const isMirror = ({ metadata }: Readonly<corev1.Pod>) =>
  metadata.annotations?.[mirrorAnnotation] !== undefined;

/** It came from a file, and not from the API. */
export function isStatic({ metadata }: Readonly<corev1.Pod>): boolean {
  const source = metadata.annotations?.[sourceAnnotation];
  return source !== undefined && source !== "api";
}

/** What the API is shown of a static pod. */
export function mirrorOf(pod: Readonly<corev1.Pod>, node: Readonly<corev1.Node>): Draft<corev1.Pod> {
  const { name, namespace, labels, annotations } = pod.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      ...(labels ? { labels } : {}),
      annotations: { ...annotations, [mirrorAnnotation]: hashOf(pod) },
      ownerReferences: [
        {
          apiVersion: "v1",
          kind: "Node",
          name: node.metadata.name,
          uid: node.metadata.uid,
          controller: true,
        },
      ],
    },
    spec: pod.spec,
  };
}
