/** Subresources that are more than a part of their object: binding, scale, finalize, ephemeral containers. */
import {
  type appsv1,
  type autoscalingv1,
  bindings,
  type certificatesv1,
  conflict,
  type corev1,
  formatLabelSelector,
  formatTime,
  invalid,
  invalidObject,
  type KubernetesObject,
  keepAllButApproval,
  keepAllButEphemeralContainers,
  keepAllButResources,
  type metav1,
  type ResourceDefinition,
  replicationControllers,
  validateApproval,
  validateEphemeralContainersUpdate,
  validateResize,
} from "#api";
import { customOf } from "../customresources/custom-definition.ts";
import { type Outcome, type Registry, success, type Target, type WriteContext } from "./context.ts";
import { onLatest } from "./storage.ts";
import { change, type Make, type UpdateStrategy } from "./update.ts";

/** Gives a pod its node, once. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/binding-v1/ */
export async function bind(
  registry: Registry,
  target: Target,
  context: WriteContext,
  binding: corev1.Binding,
): Promise<Outcome> {
  const { name } = target;
  const errors = bindings.validate(binding as corev1.Binding & KubernetesObject);
  if (errors.length > 0) throw invalidObject(bindings, name, errors);
  return onLatest(registry.storage, target, async (current) => {
    const pod = current.read() as corev1.Pod;
    const refusal = bindingRefusal(pod, binding);
    if (refusal) throw conflict({ group: "", resource: "pods/binding" }, name, refusal);
    const bound = withNode(pod, binding, formatTime(registry.world.clock.now()));
    if (!context.dryRun) await registry.storage.put(target.definition, bound as KubernetesObject, current);
    return success(201);
  });
}

function bindingRefusal(pod: Readonly<corev1.Pod>, binding: Readonly<corev1.Binding>): string | undefined {
  const { name, uid, deletionTimestamp } = pod.metadata;
  if (deletionTimestamp) return `pod ${name} is being deleted, cannot be assigned to a host`;
  if (pod.spec.nodeName) return `pod ${name} is already assigned to node "${pod.spec.nodeName}"`;
  if (pod.spec.schedulingGates?.length) return `pod ${name} has non-empty .spec.schedulingGates`;
  const wanted = binding.metadata?.uid;
  if (!wanted || wanted === uid) return undefined;
  return `Precondition failed: UID in precondition: ${wanted}, UID in object meta: ${uid}`;
}

function withNode(pod: Readonly<corev1.Pod>, binding: Readonly<corev1.Binding>, now: string): corev1.Pod {
  const annotations = binding.metadata?.annotations;
  const metadata = annotations
    ? { ...pod.metadata, annotations: { ...pod.metadata.annotations, ...annotations } }
    : pod.metadata;
  const others = (pod.status?.conditions ?? []).filter((c) => c.type !== "PodScheduled");
  const scheduled = { type: "PodScheduled", status: "True", lastTransitionTime: now };
  return {
    ...pod,
    metadata,
    spec: { ...pod.spec, nodeName: binding.target.name! },
    status: { ...pod.status, conditions: [...others, scheduled] },
  };
}

type Scalable = appsv1.Deployment | appsv1.ReplicaSet;

/** A ReplicationController selects by a plain map of labels. */
function selectorText({ kind }: ResourceDefinition, object: Readonly<KubernetesObject>): string {
  if (kind !== replicationControllers.kind) return formatLabelSelector((object as Scalable).spec.selector);
  return formatLabelSelector({ matchLabels: (object as corev1.ReplicationController).spec.selector ?? {} });
}

export function scaleOf(
  definition: ResourceDefinition,
  object: Readonly<KubernetesObject>,
): autoscalingv1.Scale & KubernetesObject {
  const custom = customOf(definition)?.scale;
  if (custom) return custom.read(object);
  const { metadata, spec, status } = object as Scalable;
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: {
      name: metadata.name,
      ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
      uid: metadata.uid,
      resourceVersion: metadata.resourceVersion,
      creationTimestamp: metadata.creationTimestamp,
    },
    spec: spec.replicas ? { replicas: spec.replicas } : {},
    status: { replicas: status?.replicas ?? 0, selector: selectorText(definition, object) },
  };
}

/** The object with the replicas that a Scale wants. */
export function scaled(
  definition: ResourceDefinition,
  object: KubernetesObject,
  scale: autoscalingv1.Scale & KubernetesObject,
): KubernetesObject {
  const replicas = scale.spec?.replicas ?? 0;
  if (replicas < 0) {
    const errors = [invalid("spec.replicas", replicas, "must be greater than or equal to 0")];
    throw invalidObject({ group: "autoscaling", kind: "Scale" }, object.metadata.name, errors);
  }
  const metadata: metav1.ObjectMeta = {
    ...object.metadata,
    resourceVersion: scale.metadata?.resourceVersion ?? "",
  };
  const custom = customOf(definition)?.scale;
  if (custom) {
    const copy = { ...structuredClone(object), metadata };
    custom.write(copy, replicas);
    return copy;
  }
  const { spec } = object as Scalable;
  return { ...object, metadata, spec: { ...spec, replicas } } as KubernetesObject;
}

/** Only the namespace controller takes the last finalizer away. */
const finalizeStrategy: UpdateStrategy = {
  subresource: "finalize",
  prepare(object, old) {
    const finalizers = (object as corev1.Namespace).spec?.finalizers;
    const { metadata } = object;
    for (const key of Object.keys(object)) delete (object as unknown as Record<string, unknown>)[key];
    Object.assign(object, old, { metadata, spec: finalizers ? { finalizers } : {} });
  },
  validate: () => [],
  bumpsGeneration: false,
};

export function finalize(
  registry: Registry,
  target: Target,
  context: WriteContext,
  make: Make,
): Promise<Outcome> {
  return change(registry, target, context, finalizeStrategy, make);
}

/** Ephemeral containers are only ever added. https://kubernetes.io/docs/concepts/workloads/pods/ephemeral-containers/ */
export const ephemeralContainersStrategy: UpdateStrategy = {
  subresource: "ephemeralcontainers",
  prepare(object, old) {
    keepMetadata(object, old);
    keepAllButEphemeralContainers(object as corev1.Pod, old as corev1.Pod);
  },
  validate: (object, old) => validateEphemeralContainersUpdate(object as corev1.Pod, old as corev1.Pod),
  bumpsGeneration: true,
};

/** CPU and memory of a pod that runs. https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/ */
export const resizeStrategy: UpdateStrategy = {
  subresource: "resize",
  prepare: (object, old) => keepAllButResources(object as corev1.Pod, old as corev1.Pod),
  validate: (object, old) => validateResize(object as corev1.Pod, old as corev1.Pod),
  bumpsGeneration: true,
};

type SigningRequest = certificatesv1.CertificateSigningRequest;

/** The yes or no to a certificate. https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/ */
export const approvalStrategy: UpdateStrategy = {
  subresource: "approval",
  prepare: (object, old, nowMs) => keepAllButApproval(object as SigningRequest, old as SigningRequest, nowMs),
  validate: (object, old) => validateApproval(object as SigningRequest, old as SigningRequest),
  bumpsGeneration: false,
};

function keepMetadata(object: KubernetesObject, old: Readonly<KubernetesObject>): void {
  const { resourceVersion } = object.metadata;
  object.metadata = { ...old.metadata, resourceVersion };
}
