/**
 * The next step for a PersistentVolumeClaim: to be bound, to wait, or to be lost.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding
 */
import { storageClassOf, type storagev1 } from "#api";
import { bestMatch, type Claim, isForClaim, mismatch, type Volume } from "./matching.ts";

export const boundByController = "pv.kubernetes.io/bound-by-controller";
export const bindCompleted = "pv.kubernetes.io/bind-completed";
const selectedNode = "volume.kubernetes.io/selected-node";
const provisionerAnnotations = [
  "volume.beta.kubernetes.io/storage-provisioner",
  "volume.kubernetes.io/storage-provisioner",
];

export interface ClaimState {
  readonly kind: "claim";
  readonly claim: Claim;
  readonly storageClass: Readonly<storagev1.StorageClass> | undefined;
  /** The name of the class of claims that name none. */
  readonly defaultClass: string | undefined;
  readonly volumes: readonly Volume[];
  /** The name of a pod that uses the claim and has no node yet. */
  readonly waitingPod: string | undefined;
}

export interface Told {
  readonly kind: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export interface ClaimPlan {
  readonly kind: "claim";
  readonly claim: Claim;
  /** The volume it is to be bound to. */
  readonly bind?: Volume;
  /** The default class has come after the claim. */
  readonly storageClassName?: string;
  readonly phase?: "Pending" | "Lost";
  readonly annotations?: Readonly<Record<string, string>>;
  readonly tell?: Told;
}

export function decideClaim(state: Readonly<ClaimState>): ClaimPlan | undefined {
  const { claim } = state;
  const plan = claim.metadata.annotations?.[bindCompleted] === undefined ? unbound(state) : bound(state);
  if (plan.bind && isBound(plan.bind, claim)) return undefined;
  return { kind: "claim", claim, ...plan };
}

type Step = Omit<ClaimPlan, "kind" | "claim">;

function isBound(volume: Volume, { metadata, spec, status }: Claim): boolean {
  return (
    volume.spec.claimRef?.uid === metadata.uid &&
    volume.status?.phase === "Bound" &&
    spec.volumeName === volume.metadata.name &&
    metadata.annotations?.[bindCompleted] !== undefined &&
    status?.phase === "Bound"
  );
}

function unbound(state: Readonly<ClaimState>): Step {
  const { claim, storageClass, defaultClass, volumes } = state;
  const { storageClassName } = claim.spec;
  const name = claim.spec.volumeName;
  if (name)
    return named(
      claim,
      volumes.find((volume) => volume.metadata.name === name),
    );
  const isLate = storageClass?.volumeBindingMode === "WaitForFirstConsumer";
  const waits = isLate && claim.metadata.annotations?.[selectedNode] === undefined;
  // Of late classes the scheduler chooses, for the node it has in mind; without one of its choice, one is provisioned.
  const bind = bestMatch(volumes, claim, isLate);
  if (bind) return { bind };
  if (defaultClass !== undefined && storageClassName === undefined && storageClassOf(claim) === "")
    return { storageClassName: defaultClass };
  if (waits) return { phase: "Pending", tell: waitingFor(state) };
  if (storageClassOf(claim) !== "") return provision(state);
  const message = "no persistent volumes available for this claim and no storage class is set";
  return { phase: "Pending", tell: { kind: "Normal", reason: "FailedBinding", message } };
}

function waitingFor({ waitingPod }: Readonly<ClaimState>): Told {
  return waitingPod === undefined
    ? {
        kind: "Normal",
        reason: "WaitForFirstConsumer",
        message: "waiting for first consumer to be created before binding",
      }
    : {
        kind: "Normal",
        reason: "WaitForPodScheduled",
        message: `waiting for pod ${waitingPod} to be scheduled`,
      };
}

/** Volumes are provisioned by others, who look for their name in the claim's annotations. */
function provision({ claim, storageClass }: Readonly<ClaimState>): Step {
  const failed = (message: string): Step => ({
    phase: "Pending",
    tell: { kind: "Warning", reason: "ProvisioningFailed", message },
  });
  if (!storageClass) return failed(`storageclass.storage.k8s.io "${storageClassOf(claim)}" not found`);
  const { provisioner } = storageClass;
  if (provisioner.startsWith("kubernetes.io/"))
    return failed(`no volume plugin matched name: ${provisioner}`);
  const missing = provisionerAnnotations.filter((each) => claim.metadata.annotations?.[each] !== provisioner);
  const message = `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`;
  return {
    phase: "Pending",
    tell: { kind: "Normal", reason: "ExternalProvisioning", message },
    ...(missing.length > 0
      ? { annotations: Object.fromEntries(missing.map((each) => [each, provisioner])) }
      : {}),
  };
}

/** Somebody said which volume it shall be. */
function named(claim: Claim, volume: Volume | undefined): Step {
  if (!volume) return { phase: "Pending" };
  if (!volume.spec.claimRef) {
    const why = mismatch(volume, claim);
    if (why === undefined) return { bind: volume };
    const message = `Cannot bind to requested volume "${volume.metadata.name}": ${why}`;
    return { phase: "Pending", tell: { kind: "Warning", reason: "VolumeMismatch", message } };
  }
  if (isForClaim(volume, claim)) return { bind: volume };
  const message = `volume "${volume.metadata.name}" already bound to a different claim.`;
  return { phase: "Pending", tell: { kind: "Warning", reason: "FailedBinding", message } };
}

function bound({ claim, volumes }: Readonly<ClaimState>): Step {
  const lost = (reason: string, message: string): Step =>
    claim.status?.phase === "Lost"
      ? { phase: "Lost" }
      : { phase: "Lost", tell: { kind: "Warning", reason, message } };
  const name = claim.spec.volumeName;
  if (!name)
    return lost(
      "ClaimLost",
      "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
    );
  const volume = volumes.find(({ metadata }) => metadata.name === name);
  if (!volume)
    return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  const { claimRef } = volume.spec;
  if (!claimRef || isForClaim(volume, claim)) return { bind: volume };
  return lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly");
}
