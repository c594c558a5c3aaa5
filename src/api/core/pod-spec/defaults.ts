/**
 * Defaults of a pod's spec, for pods and for templates.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/defaults.go
 */
import type { corev1 } from "../../generated/types/index.ts";
import { defaultSource } from "../volume-sources.ts";

/** Octal 0644: the mode of projected files. */
const fileMode = 0o644;

type AnyContainer = corev1.Container | corev1.EphemeralContainer;

function allContainers(spec: Readonly<corev1.PodSpec>): AnyContainer[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
}

export function defaultPodSpec(spec: corev1.PodSpec): void {
  spec.dnsPolicy ??= "ClusterFirst";
  spec.restartPolicy ??= "Always";
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= 30;
  spec.schedulerName ??= "default-scheduler";
  aliasServiceAccount(spec);
  for (const container of allContainers(spec)) defaultContainer(container);
  if (spec.hostNetwork) {
    for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
      for (const port of container.ports ?? []) port.hostPort ??= port.containerPort;
    }
  }
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
}

/** `serviceAccount` is the deprecated name of `serviceAccountName`: both always say the same. */
function aliasServiceAccount(spec: corev1.PodSpec): void {
  const name = spec.serviceAccountName ?? spec.serviceAccount;
  if (name === undefined) return;
  spec.serviceAccountName = name;
  spec.serviceAccount = name;
}

/** What only pods get, not templates. */
export function defaultPod(spec: corev1.PodSpec): void {
  spec.enableServiceLinks ??= true;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    defaultRequests(container.resources);
  }
  defaultRequests(spec.resources);
}

/** A limit without a request is the request too. */
function defaultRequests(resources: corev1.ResourceRequirements | undefined): void {
  if (!resources?.limits) return;
  resources.requests = { ...resources.requests };
  for (const [name, limit] of Object.entries(resources.limits)) resources.requests[name] ??= limit;
}

function defaultContainer(container: AnyContainer): void {
  container.terminationMessagePath ??= "/dev/termination-log";
  container.terminationMessagePolicy ??= "File";
  container.imagePullPolicy ??= imagePullPolicyOf(container.image ?? "");
  container.resources ??= {};
  for (const port of container.ports ?? []) port.protocol ??= "TCP";
  for (const env of container.env ?? [])
    if (env.valueFrom?.fieldRef) env.valueFrom.fieldRef.apiVersion ??= "v1";
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
    if (probe) defaultProbe(probe);
  }
  for (const handler of [container.lifecycle?.postStart, container.lifecycle?.preStop]) {
    if (handler?.httpGet) defaultHttpGet(handler.httpGet);
  }
}

/** `Always` for `:latest` and for no tag at all, `IfNotPresent` for tags and digests. */
export function imagePullPolicyOf(image: string): "Always" | "IfNotPresent" {
  if (image.includes("@")) return "IfNotPresent";
  const tag = /:([^/:]*)$/.exec(image)?.[1];
  return tag === undefined || tag === "latest" ? "Always" : "IfNotPresent";
}

function defaultProbe(probe: corev1.Probe): void {
  probe.timeoutSeconds ??= 1;
  probe.periodSeconds ??= 10;
  probe.successThreshold ??= 1;
  probe.failureThreshold ??= 3;
  if (probe.httpGet) defaultHttpGet(probe.httpGet);
  if (probe.grpc) probe.grpc.service ??= "";
}

function defaultHttpGet(action: corev1.HTTPGetAction): void {
  action.path ??= "/";
  action.scheme ??= "HTTP";
}

function defaultVolume(volume: corev1.Volume): void {
  if (Object.keys(volume).every((key) => key === "name")) volume.emptyDir = {};
  if (volume.secret) volume.secret.defaultMode ??= fileMode;
  if (volume.configMap) volume.configMap.defaultMode ??= fileMode;
  defaultSource(volume);
  if (volume.downwardAPI) {
    volume.downwardAPI.defaultMode ??= fileMode;
    defaultFieldRefs(volume.downwardAPI.items);
  }
  if (volume.image) volume.image.pullPolicy ??= imagePullPolicyOf(volume.image.reference ?? "");
  const claim = volume.ephemeral?.volumeClaimTemplate?.spec;
  if (claim) claim.volumeMode ??= "Filesystem";
  if (!volume.projected) return;
  volume.projected.defaultMode ??= fileMode;
  for (const source of volume.projected.sources ?? []) {
    if (source.serviceAccountToken) source.serviceAccountToken.expirationSeconds ??= 3600;
    defaultFieldRefs(source.downwardAPI?.items);
  }
}

function defaultFieldRefs(items: corev1.DownwardAPIVolumeFile[] | undefined): void {
  for (const item of items ?? []) if (item.fieldRef) item.fieldRef.apiVersion ??= "v1";
}
