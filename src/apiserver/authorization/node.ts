/**
 * The node authorizer: a kubelet may read the secrets, config maps, claims and volumes of the pods bound to its node, ask
 * for the tokens of their service accounts, and keep its own lease.
 * https://kubernetes.io/docs/reference/access-authn-authz/node/
 */
import {
  type certificatesv1beta1,
  type corev1,
  persistentVolumeClaims,
  persistentVolumes,
  podCertificateRequests,
  pods,
  type ResourceDefinition,
} from "#api";
import type { CachedObject } from "../cache/cached-object.ts";
import { keyPrefix } from "../cache/keys.ts";
import type { Storage } from "../registry/storage.ts";
import type { User } from "../user.ts";
import type { Attributes, ResourceAttributes } from "./attributes.ts";
import type { Authorizer, Decision } from "./authorizer.ts";
import { nodeRules } from "./policy/node.ts";
import { allows } from "./rules.ts";

const nodesGroup = "system:nodes";
const nodeUserPrefix = "system:node:";
const leaseNamespace = "kube-node-lease";
const podDefinition = pods as ResourceDefinition;

const allowed: Decision = { allowed: true, reason: "" };
const noOpinion: Decision = { allowed: false, reason: "" };

/** The node that a user is the agent of. */
export function nodeNameOf(user: User): string | undefined {
  if (!user.groups.includes(nodesGroup) || !user.username.startsWith(nodeUserPrefix)) return undefined;
  return user.username.slice(nodeUserPrefix.length) || undefined;
}

/** What the pods of a node may need: `secrets/default/web`. */
type References = ReadonlySet<string>;

export class NodeAuthorizer implements Authorizer {
  readonly #storage: Storage;
  /** Undefined until the first node asks: clusters of one process never do. */
  #podsByNode: Map<string, Map<string, CachedObject>> | undefined;
  readonly #references = new WeakMap<CachedObject, References>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  authorize(attributes: Attributes): Decision {
    const node = nodeNameOf(attributes.user);
    if (!node) return noOpinion;
    if (nodeRules.some((rule) => allows(rule, attributes))) return allowed;
    const { resource, verb } = attributes;
    if (!resource) return noOpinion;
    return this.#needs(node, verb, resource) ? allowed : refusalOf(node, resource);
  }

  rulesFor(user: User): { rules: typeof nodeRules; errors: readonly string[] } {
    return { rules: nodeNameOf(user) ? nodeRules : [], errors: [] };
  }

  #needs(node: string, verb: string, resource: ResourceAttributes): boolean {
    const { group, namespace, name, subresource } = resource;
    const what = group ? `${resource.resource}.${group}` : resource.resource;
    const isRead = verb === "get" || verb === "list" || verb === "watch";
    switch (what) {
      case "pods":
        return isRead && !subresource && this.#isOwnPod(node, resource);
      case "secrets":
      case "configmaps":
      case "persistentvolumeclaims":
      case "persistentvolumes":
      case "resourceclaims.resource.k8s.io":
        return (
          isRead &&
          !subresource &&
          name !== "" &&
          this.#isReferred(node, `${resource.resource}/${namespace}/${name}`)
        );
      case "serviceaccounts": {
        const isAsked = subresource === "token" ? verb === "create" : verb === "get" && !subresource;
        return isAsked && this.#isReferred(node, `serviceaccounts/${namespace}/${name}`);
      }
      case "podcertificaterequests.certificates.k8s.io":
        // Admission keeps a node to its own pods.
        return !subresource && (verb === "create" || (isRead && this.#isOwnRequest(node, resource)));
      case "leases.coordination.k8s.io":
        return namespace === leaseNamespace && (verb === "create" || name === node);
      case "csinodes.storage.k8s.io":
        return verb === "create" || name === node;
      case "volumeattachments.storage.k8s.io":
      case "resourceslices.resource.k8s.io":
        return isRead || what.startsWith("resourceslices");
      default:
        return false;
    }
  }

  /** One pod of the node, or the list of those bound to it. */
  #isOwnPod(node: string, { namespace, name, fieldSelector = "" }: ResourceAttributes): boolean {
    const isCut = fieldSelector
      .split(",")
      .some((term) => /^spec\.nodeName==?/.test(term) && term.endsWith(`=${node}`));
    if (isCut || !name) return isCut;
    const pod = this.#storage.find(podDefinition, namespace, name);
    return pod !== undefined && nodeOf(pod) === node;
  }

  #isOwnRequest(node: string, { namespace, name, fieldSelector = "" }: ResourceAttributes): boolean {
    if (fieldSelector.split(",").includes(`spec.nodeName=${node}`)) return true;
    if (!name) return false;
    const found = this.#storage.find(podCertificateRequests as ResourceDefinition, namespace, name);
    return (found?.parse() as certificatesv1beta1.PodCertificateRequest | undefined)?.spec.nodeName === node;
  }

  #isReferred(node: string, reference: string): boolean {
    this.#podsByNode ??= this.#indexed();
    for (const pod of this.#podsByNode.get(node)?.values() ?? []) {
      const references = this.#referencesOf(pod);
      if (references.has(reference)) return true;
      if (this.#isOfVolume(references, reference)) return true;
    }
    return false;
  }

  /** A volume is the pod's when one of its claims is bound to it, and so are the secrets it is mounted with. */
  #isOfVolume(references: References, reference: string): boolean {
    const isVolume = reference.startsWith("persistentvolumes/");
    if (!isVolume && !reference.startsWith("secrets/")) return false;
    for (const volume of this.#volumesOf(references)) {
      if (isVolume && reference.split("/")[2] === volume) return true;
      if (!isVolume && this.#secretsOf(volume).includes(reference)) return true;
    }
    return false;
  }

  *#volumesOf(references: References): Generator<string> {
    for (const each of references) {
      const [kind, namespace, name = ""] = each.split("/");
      if (kind !== "persistentvolumeclaims") continue;
      const claim = this.#storage.find(persistentVolumeClaims as ResourceDefinition, namespace, name);
      const volume = (claim?.parse() as corev1.PersistentVolumeClaim | undefined)?.spec?.volumeName;
      if (volume) yield volume;
    }
  }

  #secretsOf(volume: string): string[] {
    const found = this.#storage.find(persistentVolumes as ResourceDefinition, undefined, volume);
    const { csi } = (found?.parse() as corev1.PersistentVolume | undefined)?.spec ?? {};
    return [csi?.nodeStageSecretRef, csi?.nodePublishSecretRef, csi?.nodeExpandSecretRef].map(
      (ref) => `secrets/${ref?.namespace}/${ref?.name}`,
    );
  }

  #referencesOf(pod: CachedObject): References {
    const known = this.#references.get(pod);
    if (known) return known;
    const found = new Set(referencesOf(pod.parse() as corev1.Pod));
    this.#references.set(pod, found);
    return found;
  }

  #indexed(): Map<string, Map<string, CachedObject>> {
    const byNode = new Map<string, Map<string, CachedObject>>();
    const cache = this.#storage.cache(podDefinition);
    for (const pod of cache.scan(keyPrefix(podDefinition))) addTo(byNode, pod);
    cache.listen(({ key, previous, current }) => {
      if (previous) byNode.get(nodeOf(previous))?.delete(key);
      if (current) addTo(byNode, current);
    });
    return byNode;
  }
}

function addTo(byNode: Map<string, Map<string, CachedObject>>, pod: CachedObject): void {
  const node = nodeOf(pod);
  if (!node) return;
  const own = byNode.get(node);
  if (own) own.set(pod.key, pod);
  else byNode.set(node, new Map([[pod.key, pod]]));
}

function refusalOf(node: string, { resource }: ResourceAttributes): Decision {
  return {
    allowed: false,
    reason: `no relationship found between node ${JSON.stringify(node)} and this object of ${resource}`,
  };
}

/** Objects that a pod names, by `resource/namespace/name`. */
export function* referencesOf(pod: Readonly<corev1.Pod>): Generator<string> {
  const { metadata, spec } = pod;
  const at = (resource: string, name: string | undefined) => `${resource}/${metadata.namespace}/${name}`;
  yield at("serviceaccounts", spec.serviceAccountName);
  for (const { name } of spec.imagePullSecrets ?? []) yield at("secrets", name);
  const containers = [
    ...(spec.initContainers ?? []),
    ...spec.containers,
    ...((spec.ephemeralContainers ?? []) as corev1.Container[]),
  ];
  for (const container of containers) {
    for (const { secretRef, configMapRef } of container.envFrom ?? []) {
      if (secretRef) yield at("secrets", secretRef.name);
      if (configMapRef) yield at("configmaps", configMapRef.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      if (valueFrom?.secretKeyRef) yield at("secrets", valueFrom.secretKeyRef.name);
      if (valueFrom?.configMapKeyRef) yield at("configmaps", valueFrom.configMapKeyRef.name);
    }
  }
  for (const volume of spec.volumes ?? []) yield* volumeReferences(volume, pod, at);
  for (const { name, resourceClaimName } of spec.resourceClaims ?? [])
    yield at("resourceclaims", resourceClaimName ?? claimOf(pod, name));
  const extended = pod.status?.extendedResourceClaimStatus;
  if (extended) yield at("resourceclaims", extended.resourceClaimName);
}

function claimOf(pod: Readonly<corev1.Pod>, name: string): string | undefined {
  return pod.status?.resourceClaimStatuses?.find((each) => each.name === name)?.resourceClaimName;
}

function* volumeReferences(
  volume: Readonly<corev1.Volume>,
  pod: Readonly<corev1.Pod>,
  at: (resource: string, name: string | undefined) => string,
): Generator<string> {
  if (volume.secret) yield at("secrets", volume.secret.secretName);
  if (volume.configMap) yield at("configmaps", volume.configMap.name);
  if (volume.persistentVolumeClaim)
    yield at("persistentvolumeclaims", volume.persistentVolumeClaim.claimName);
  if (volume.ephemeral) yield at("persistentvolumeclaims", `${pod.metadata.name}-${volume.name}`);
  if (volume.csi?.nodePublishSecretRef) yield at("secrets", volume.csi.nodePublishSecretRef.name);
  for (const { secret, configMap } of volume.projected?.sources ?? []) {
    if (secret) yield at("secrets", secret.name);
    if (configMap) yield at("configmaps", configMap.name);
  }
}

function nodeOf(pod: CachedObject): string {
  return pod.facts.fields["spec.nodeName"] ?? "";
}
