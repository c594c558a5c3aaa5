/**
 * Makes the volumes of the StorageClasses that name `knarr.dev/local-path`: a folder on the node that the scheduler chose
 * for the claim's first pod, made and removed by that node's kubelet on the API server's word.
 * https://kubernetes.io/docs/concepts/storage/dynamic-provisioning/
 * https://github.com/kubernetes-sigs/sig-storage-lib-external-provisioner (events and annotations)
 */
import {
  type corev1,
  type Draft,
  isStatus,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  storageClassOf,
  type storagev1,
  termMatches,
} from "#api";
import { messageOf } from "#base";
import { keyOf } from "#client";
import {
  after,
  type ControllerContext,
  defineController,
  done,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import type { Claim, Volume } from "./matching.ts";

export const localPathProvisioner = "knarr.dev/local-path";

/** Keeps a volume until its folder is gone, whichever of volume and claim is deleted first. */
const finalizer = "external-provisioner.volume.kubernetes.io/finalizer";
const selectedNode = "volume.kubernetes.io/selected-node";
const provisionedBy = "pv.kubernetes.io/provisioned-by";
const provisionerAnnotations = [
  "volume.kubernetes.io/storage-provisioner",
  "volume.beta.kubernetes.io/storage-provisioner",
];
const hostnameLabel = "kubernetes.io/hostname";
/** Simulated nodes have no disks: their volumes are objects alone. */
const simulated = "simulator.knarr.dev/simulated";
/** A node that does not answer is asked again. */
const retryMs = 5_000;

type StorageClass = Readonly<storagev1.StorageClass>;
type Node = Readonly<corev1.Node>;

interface ClaimState {
  readonly kind: "claim";
  readonly claim: Claim;
  readonly storageClass: StorageClass;
  /** Of the node that was chosen, or of all where nobody chooses. */
  readonly nodes: readonly Node[];
}

interface VolumeState {
  readonly kind: "volume";
  readonly volume: Volume;
  readonly node: Node | undefined;
}

type Plan =
  | {
      readonly kind: "provision";
      readonly claim: Claim;
      readonly storageClass: StorageClass;
      readonly node: Node;
    }
  /** The chosen node is gone: the scheduler is to choose again. */
  | { readonly kind: "reschedule"; readonly claim: Claim }
  | {
      readonly kind: "refuse";
      readonly claim: Claim;
      readonly storageClass: StorageClass;
      readonly why: string;
    }
  | { readonly kind: "remove"; readonly volume: Volume; readonly node: Node | undefined }
  | { readonly kind: "letGo"; readonly volume: Volume };

const claimKey = (key: string) => `claim:${key}`;
const volumeKey = (name: string) => `volume:${name}`;
const volumeNameOf = ({ metadata }: Claim) => `pvc-${metadata.uid}`;

export const localPathController = defineController<ClaimState | VolumeState, Plan>({
  name: "local-path-provisioner",
  secondaries: [
    source(persistentVolumeClaims, (claim) => [claimKey(keyOf(claim))]),
    source(persistentVolumes, ({ metadata }) => [volumeKey(metadata.name)]),
    source(storageClasses, ({ metadata }, { informers }) =>
      informers
        .of(persistentVolumeClaims)
        .list()
        .filter((claim) => !claim.spec.volumeName && storageClassOf(claim) === metadata.name)
        .map((claim) => claimKey(keyOf(claim))),
    ),
  ],
  concurrency: 4,
  rules: [
    rule("", ["persistentvolumes"], [...readVerbs, "create", "delete", "patch"]),
    rule("", ["persistentvolumeclaims"], [...readVerbs, "patch"]),
    rule("", ["nodes"], readVerbs),
    rule("", ["nodes/proxy"], ["create"]),
    rule("storage.k8s.io", ["storageclasses"], readVerbs),
    ...eventRules,
  ],
  observe,
  decide: (state) => (state.kind === "claim" ? decideLocalClaim(state) : decideLocalVolume(state)),
  act,
});

function observe({ informers }: ControllerContext, key: string): ClaimState | VolumeState | undefined {
  const [kind, name = ""] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
  const all = informers.of(nodes);
  if (kind === "volume") {
    const volume = informers.of(persistentVolumes).byKey(name);
    if (volume?.metadata.annotations?.[provisionedBy] !== localPathProvisioner) return undefined;
    const home = nodeNameOf(volume);
    return { kind: "volume", volume, node: all.list().find((node) => hostnameOf(node) === home) };
  }
  const claim = informers.of(persistentVolumeClaims).byKey(name);
  if (!claim || claim.spec.volumeName || claim.metadata.deletionTimestamp) return undefined;
  const { annotations = {} } = claim.metadata;
  if (provisionerAnnotations.every((each) => annotations[each] !== localPathProvisioner)) return undefined;
  const storageClass = informers.of(storageClasses).byKey(storageClassOf(claim));
  if (storageClass?.provisioner !== localPathProvisioner) return undefined;
  if (informers.of(persistentVolumes).byKey(volumeNameOf(claim))) return undefined;
  const chosen = annotations[selectedNode];
  const found = chosen === undefined ? all.list() : [all.byKey(chosen)].filter((node) => node !== undefined);
  return { kind: "claim", claim, storageClass, nodes: found };
}

function hostnameOf({ metadata }: Node): string {
  return metadata.labels?.[hostnameLabel] ?? metadata.name;
}

function nodeNameOf({ spec }: Volume): string | undefined {
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms ?? [];
  return terms[0]?.matchExpressions?.find(({ key }) => key === hostnameLabel)?.values?.[0];
}

function decideLocalClaim({ claim, storageClass, nodes: found }: Readonly<ClaimState>): Plan | undefined {
  const chosen = claim.metadata.annotations?.[selectedNode];
  if (chosen === undefined && storageClass.volumeBindingMode === "WaitForFirstConsumer") return undefined;
  const why = refusal(claim);
  if (why !== undefined) return { kind: "refuse", claim, storageClass, why };
  const node = chosen === undefined ? anyNode(found, storageClass) : found[0];
  if (node) return { kind: "provision", claim, storageClass, node };
  if (chosen !== undefined) return { kind: "reschedule", claim };
  return { kind: "refuse", claim, storageClass, why: "no node is ready to hold the volume" };
}

function refusal({ spec }: Claim): string | undefined {
  if (spec.volumeMode === "Block") return "block volumes are not supported: a volume is a folder of the node";
  if (spec.selector) return "claim Selector is not supported";
  if (spec.dataSource ?? spec.dataSourceRef) return "a data source is not supported";
  return undefined;
}

/** For claims that do not wait for a pod: always the same node for the same nodes. */
function anyNode(found: readonly Node[], { allowedTopologies = [] }: StorageClass): Node | undefined {
  const usable = found.filter(
    (node) =>
      !node.spec?.unschedulable &&
      node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") &&
      isAllowed(node, allowedTopologies),
  );
  return usable.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))[0];
}

function isAllowed({ metadata }: Node, topologies: readonly corev1.TopologySelectorTerm[]): boolean {
  if (topologies.length === 0) return true;
  const { name, labels = {} } = metadata;
  return topologies.some(({ matchLabelExpressions = [] }) => {
    const matchExpressions = matchLabelExpressions.map(({ key, values }) => ({
      key,
      operator: "In" as const,
      values,
    }));
    return termMatches({ matchExpressions }, { name, labels });
  });
}

function decideLocalVolume({ volume, node }: Readonly<VolumeState>): Plan | undefined {
  const { deletionTimestamp, finalizers = [] } = volume.metadata;
  const { phase } = volume.status ?? {};
  const isKept = volume.spec.persistentVolumeReclaimPolicy !== "Delete";
  if (deletionTimestamp) {
    // What protects it from its claim goes first.
    if (!finalizers.includes(finalizer) || finalizers.includes("kubernetes.io/pv-protection"))
      return undefined;
    return isKept ? { kind: "letGo", volume } : { kind: "remove", volume, node };
  }
  return phase === "Released" && !isKept ? { kind: "remove", volume, node } : undefined;
}

async function act(plan: Plan, context: ControllerContext): Promise<Outcome> {
  switch (plan.kind) {
    case "provision":
      return provision(plan, context);
    case "remove":
      return remove(plan, context);
    case "letGo":
      await letGo(plan.volume, context);
      return done;
    case "reschedule": {
      const { uid, resourceVersion } = plan.claim.metadata;
      const patch = { metadata: { uid, resourceVersion, annotations: { [selectedNode]: null } } };
      await context.client.patch(persistentVolumeClaims, plan.claim.metadata, "merge", patch);
      return done;
    }
    default:
      tellFailure(plan, plan.why, context);
      return after(12 * retryMs);
  }
}

function tellFailure(
  { claim, storageClass }: { claim: Claim; storageClass: StorageClass },
  why: string,
  { events }: ControllerContext,
): void {
  const words = `failed to provision volume with StorageClass "${storageClass.metadata.name}": ${why}`;
  events.record(claim, "Warning", "ProvisioningFailed", words);
}

async function provision(
  plan: Extract<Plan, { kind: "provision" }>,
  context: ControllerContext,
): Promise<Outcome> {
  const { claim, node } = plan;
  const { client, events } = context;
  const name = volumeNameOf(claim);
  const { namespace } = claim.metadata;
  const start = `External provisioner is provisioning volume for claim "${namespace}/${claim.metadata.name}"`;
  events.record(claim, "Normal", "Provisioning", start);
  let path: string;
  try {
    path = await askNode(client, node, "create", name);
  } catch (error) {
    tellFailure(plan, messageOf(error), context);
    return after(retryMs);
  }
  try {
    await client.create(persistentVolumes, volumeFor(plan, path));
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
  }
  events.record(claim, "Normal", "ProvisioningSucceeded", `Successfully provisioned volume ${name}`);
  return done;
}

/** Answers where the volume lies. */
async function askNode(
  client: ControllerContext["client"],
  node: Node,
  what: "create" | "delete",
  name: string,
): Promise<string> {
  if (node.metadata.annotations?.[simulated] === "true") return `/var/lib/knarr/volumes/${name}`;
  const subresource = `proxy/localVolumes/${what}`;
  const answer = await client.post<{ path?: string }>(nodes, { name: node.metadata.name }, subresource, {
    name,
  });
  if (typeof answer.path !== "string")
    throw new Error(`node ${node.metadata.name} did not say where the volume is`);
  return answer.path;
}

function volumeFor(
  { claim, storageClass, node }: Extract<Plan, { kind: "provision" }>,
  path: string,
): Draft<corev1.PersistentVolume> {
  const { namespace = "", name, uid, resourceVersion } = claim.metadata;
  const { mountOptions } = storageClass;
  const here = { key: hostnameLabel, operator: "In" as const, values: [hostnameOf(node)] };
  return {
    metadata: {
      name: volumeNameOf(claim),
      annotations: { [provisionedBy]: localPathProvisioner },
      finalizers: [finalizer],
    },
    spec: {
      ...(claim.spec.accessModes ? { accessModes: claim.spec.accessModes } : {}),
      capacity: { storage: claim.spec.resources?.requests?.storage ?? "0" },
      claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid, resourceVersion },
      local: { path },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [here] }] } },
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy === "Retain" ? "Retain" : "Delete",
      storageClassName: storageClass.metadata.name,
      volumeMode: "Filesystem",
      ...(mountOptions ? { mountOptions } : {}),
    },
  };
}

/** A node that has left the cluster has taken its folders with it. */
async function remove(
  { volume, node }: Extract<Plan, { kind: "remove" }>,
  context: ControllerContext,
): Promise<Outcome> {
  const { client, events } = context;
  try {
    if (node) await askNode(client, node, "delete", volume.metadata.name);
  } catch (error) {
    events.record(volume, "Warning", "VolumeFailedDelete", messageOf(error));
    return after(retryMs);
  }
  const { uid, deletionTimestamp } = volume.metadata;
  try {
    // Once it is being deleted and nothing else holds it, the next round lets it go.
    if (deletionTimestamp) await letGo(volume, context);
    else await client.delete(persistentVolumes, volume.metadata, { preconditions: { uid } });
  } catch (error) {
    if (!isStatus(error, "NotFound")) throw error;
  }
  return done;
}

async function letGo(volume: Volume, { client }: ControllerContext): Promise<void> {
  const { uid, resourceVersion, finalizers = [] } = volume.metadata;
  const rest = finalizers.filter((each) => each !== finalizer);
  const patch = { metadata: { uid, resourceVersion, finalizers: rest } };
  await client.patch(persistentVolumes, volume.metadata, "merge", patch);
}
