/**
 * Keeps an agent to its own node and to the pods bound to it.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
 */
import {
  type certificatesv1beta1,
  type corev1,
  forbidden,
  type KubernetesObject,
  leases,
  nodes,
  podCertificateRequests,
  pods,
  type ResourceDefinition,
  serviceAccounts,
} from "#api";
import type { Authorizer } from "../authorization/authorizer.ts";
import { nodeNameOf } from "../authorization/node.ts";
import type { Storage } from "../registry/storage.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";
import { tokenRefusal } from "./node-tokens.ts";

const mirrorAnnotation = "kubernetes.io/config.mirror";
const restrictedPrefix = "node-restriction.kubernetes.io/";
const leaseNamespace = "kube-node-lease";

export function nodeRestriction(storage: Storage, authorizer: Authorizer): AdmissionStep {
  return {
    name: "NodeRestriction",
    validate(attributes) {
      const node = nodeNameOf(attributes.user);
      if (!node) return;
      const why = refusal(storage, node, attributes);
      if (why) throw forbidden(attributes.definition, attributes.name, `node ${JSON.stringify(node)} ${why}`);
      const inOwnWords =
        certificateRefusal(storage, node, attributes) ?? tokenRefusal(storage, authorizer, node, attributes);
      if (inOwnWords) throw forbidden(attributes.definition, attributes.name, inOwnWords);
    },
  };
}

function refusal(storage: Storage, node: string, attributes: Attributes): string | undefined {
  switch (attributes.definition) {
    case pods as ResourceDefinition:
      return podRefusal(storage, node, attributes);
    case nodes as ResourceDefinition:
      return nodeRefusal(node, attributes);
    case leases as ResourceDefinition:
      if (attributes.namespace !== leaseNamespace)
        return `is not allowed to modify lease outside the namespace ${JSON.stringify(leaseNamespace)}`;
      return attributes.name === node
        ? undefined
        : `is not allowed to modify lease with name ${JSON.stringify(attributes.name)}`;
    default:
      return undefined;
  }
}

/** A node asks for certificates of its own pods, as whom they run. */
function certificateRefusal(storage: Storage, node: string, attributes: Attributes): string | undefined {
  const { operation, subresource, namespace, definition, object } = attributes;
  if (definition !== (podCertificateRequests as ResourceDefinition)) return undefined;
  if (operation !== "CREATE") return `unexpected operation ${operation}`;
  if (subresource !== "") return `unexpected subresource ${subresource}`;
  const { spec } = object as certificatesv1beta1.PodCertificateRequest;
  const quoted = JSON.stringify;
  if (spec.nodeName !== node)
    return `PodCertificateRequest.Spec.NodeName=${quoted(spec.nodeName)}, which is not the requesting node ${quoted(node)}`;
  const uidOf = (type: ResourceDefinition, within: string | undefined, name: string) =>
    storage.find(type, within, name)?.parse().metadata.uid;
  const what = `PodCertificateRequest for pod ${quoted(`${namespace}/${spec.podName}`)}`;
  if (uidOf(nodes as ResourceDefinition, undefined, node) !== spec.nodeUID)
    return `${what} names node UID ${quoted(spec.nodeUID)}, inconsistent with the running node`;
  const pod = storage.find(pods as ResourceDefinition, namespace, spec.podName)?.parse() as
    | corev1.Pod
    | undefined;
  if (!pod) return `while retrieving pod ${quoted(`${namespace}/${spec.podName}`)}: not found`;
  if (pod.metadata.uid !== spec.podUID)
    return `${what} contains pod UID (${quoted(spec.podUID)}) which differs from running pod ${quoted(pod.metadata.uid)}`;
  if (pod.spec.nodeName !== node) return `${what} is not bound to the requesting node ${quoted(node)}`;
  if (pod.metadata.annotations?.[mirrorAnnotation]) return `${what} is for a mirror pod`;
  const account = pod.spec.serviceAccountName ?? "";
  if (account !== spec.serviceAccountName)
    return `${what} contains serviceAccountName (${quoted(spec.serviceAccountName)}) that differs from running pod (${quoted(account)})`;
  if (uidOf(serviceAccounts as ResourceDefinition, namespace, account) !== spec.serviceAccountUID)
    return `${what} names service account UID ${quoted(spec.serviceAccountUID)}, which differs from the running service account`;
  return undefined;
}

function podRefusal(storage: Storage, node: string, attributes: Attributes): string | undefined {
  const { operation, subresource, namespace, name } = attributes;
  if (operation === "CREATE" && subresource === "")
    return mirrorRefusal(node, attributes.object as corev1.Pod);
  const known = attributes.old ?? storage.find(pods as ResourceDefinition, namespace, name)?.parse();
  const bound = (known as corev1.Pod | undefined)?.spec.nodeName;
  if (operation === "UPDATE" && subresource !== "status" && subresource !== "eviction")
    return "can only update pod status";
  if (bound === node) return undefined;
  const what = operation === "DELETE" || subresource === "eviction" ? "delete" : "update status for";
  return `can only ${what} pods with spec.nodeName set to itself`;
}

function mirrorRefusal(node: string, pod: Readonly<corev1.Pod>): string | undefined {
  if (!pod.metadata.annotations?.[mirrorAnnotation])
    return `can only create mirror pods: pod does not have ${JSON.stringify(mirrorAnnotation)} annotation`;
  if (pod.spec.nodeName !== node) return "can only create pods with spec.nodeName set to itself";
  return undefined;
}

function nodeRefusal(node: string, { operation, name, object, old }: Attributes): string | undefined {
  if (name !== node) return `is not allowed to modify node ${JSON.stringify(name)}`;
  if (operation === "DELETE") return "is not allowed to delete itself";
  const before = labelsOf(old);
  const touched = Object.entries(labelsOf(object)).filter(
    ([key, value]) => isRestricted(key) && before[key] !== value,
  );
  if (touched.length === 0) return undefined;
  return `is not allowed to modify labels: ${touched
    .map(([key]) => key)
    .sort()
    .join(", ")}`;
}

function labelsOf(object: Readonly<KubernetesObject> | undefined): Record<string, string> {
  return object?.metadata.labels ?? {};
}

function isRestricted(key: string): boolean {
  const domain = key.slice(0, key.indexOf("/") + 1);
  return domain === restrictedPrefix || domain.endsWith(`.${restrictedPrefix}`);
}
