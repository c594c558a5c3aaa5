/**
 * What nodes declare that they can do, and which pods and which changes of pods ask for it.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/node-declared-features/
 */
import type { corev1 } from "../../generated/types/index.ts";
import { compareQuantities } from "../../meta/quantity.ts";
import { qosClassOf } from "./qos.ts";
import { sameJson } from "./template.ts";

type Pod = Readonly<corev1.Pod>;

const guaranteedCpuResize = "GuaranteedQoSPodCPUResize";
const podLevelResize = "InPlacePodLevelResourcesVerticalScaling";
const restartAllContainers = "RestartAllContainersOnContainerExits";

/** Of a node of this version, sorted; processors that pods have to themselves stay as many as they are. */
export function declaredFeatures({ hasExclusiveCpus }: { hasExclusiveCpus: boolean }): string[] {
  return [...(hasExclusiveCpus ? [] : [guaranteedCpuResize]), podLevelResize, restartAllContainers];
}

/** What a node has to declare to be given the pod. */
export function featuresOfPod({ spec }: Pod): string[] {
  const asks = [...spec.containers, ...(spec.initContainers ?? [])].some(({ restartPolicyRules = [] }) =>
    restartPolicyRules.some(({ action }) => action === "RestartAllContainers"),
  );
  return asks ? [restartAllContainers] : [];
}

/** What the pod's node has to declare so that the pod may change from `old` to this. */
export function featuresOfUpdate(pod: Pod, old: Pod): string[] {
  const cpuOf = (container: Readonly<corev1.Container> | undefined) =>
    container?.resources?.requests?.cpu ?? "0";
  const isGuaranteed = (old.status?.qosClass ?? qosClassOf(old.spec)) === "Guaranteed";
  const changesCpu = old.spec.containers.some(
    (container, i) => compareQuantities(cpuOf(container), cpuOf(pod.spec.containers[i])) !== 0,
  );
  const changesWhole = !sameJson(old.spec.resources ?? {}, pod.spec.resources ?? {});
  return [
    ...(isGuaranteed && changesCpu ? [guaranteedCpuResize] : []),
    ...(changesWhole ? [podLevelResize] : []),
  ];
}
