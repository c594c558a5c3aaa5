/** Brings claims and volumes together: carries out what `claim.ts` and `volume.ts` plan. */
import {
  type corev1,
  isDefaultStorageClass,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  storageClassOf,
  type storagev1,
} from "#api";
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
import { createdMs } from "../kit/pods.ts";
import { bindCompleted, boundByController, type ClaimPlan, type ClaimState, decideClaim } from "./claim.ts";
import { claimsOfPod, indexByClaim, podsOfClaim } from "./claim-users.ts";
import { type Claim, isForClaim, type Volume } from "./matching.ts";
import { decideVolume, unbindVolume, type VolumePlan, type VolumeState } from "./volume.ts";

/** What waits is told of this often. */
const retellMs = 15_000;

const claimKey = (key: string) => `claim:${key}`;
const volumeKey = (name: string) => `volume:${name}`;

export const persistentVolumeController = defineController<ClaimState | VolumeState, ClaimPlan | VolumePlan>({
  name: "persistentvolume-controller",
  secondaries: [
    source(persistentVolumeClaims, (claim) => {
      const { volumeName } = claim.spec;
      return [claimKey(keyOf(claim)), ...(volumeName ? [volumeKey(volumeName)] : [])];
    }),
    source(persistentVolumes, (volume, context) => [
      volumeKey(volume.metadata.name),
      ...concernedClaims(volume, context),
    ]),
    source(storageClasses, ({ metadata }, { informers }) =>
      informers
        .of(persistentVolumeClaims)
        .list()
        .filter((claim) => isWaiting(claim) && ["", metadata.name].includes(storageClassOf(claim)))
        .map((claim) => claimKey(keyOf(claim))),
    ),
    source(pods, (pod, { informers }) =>
      claimsOfPod(pod)
        .map((name) => informers.of(persistentVolumeClaims).get(pod.metadata.namespace ?? "", name))
        .filter((claim) => claim !== undefined && isWaiting(claim))
        .map((claim) => claimKey(keyOf(claim as Claim))),
    ),
  ],
  // One at a time: two claims must not take the same volume.
  concurrency: 1,
  rules: [
    rule("", ["persistentvolumes"], [...readVerbs, "update"]),
    rule("", ["persistentvolumeclaims"], [...readVerbs, "update"]),
    rule("", ["persistentvolumes/status", "persistentvolumeclaims/status"], ["update"]),
    rule("", ["pods"], readVerbs),
    rule("storage.k8s.io", ["storageclasses"], readVerbs),
    ...eventRules,
  ],
  prepare: ({ informers }) => void indexByClaim(informers.of(pods)),
  observe,
  decide: (state) => (state.kind === "claim" ? decideClaim(state) : decideVolume(state)),
  act: (plan, context) => (plan.kind === "claim" ? actOnClaim(plan, context) : actOnVolume(plan, context)),
});

function isWaiting({ spec, status, metadata }: Claim): boolean {
  return status?.phase !== "Bound" && !metadata.deletionTimestamp && !spec.volumeName;
}

/** The claim it names; a free volume may suit anybody who waits. */
function concernedClaims({ metadata, spec, status }: Volume, { informers }: ControllerContext): string[] {
  const { claimRef } = spec;
  const all = informers.of(persistentVolumeClaims);
  if (claimRef) return [claimKey(`${claimRef.namespace}/${claimRef.name}`)];
  const isFree = status?.phase === "Available";
  return all
    .list()
    .filter((claim) => claim.spec.volumeName === metadata.name || (isFree && isWaiting(claim)))
    .map((claim) => claimKey(keyOf(claim)));
}

function observe({ informers }: ControllerContext, key: string): ClaimState | VolumeState | undefined {
  const [kind, name = ""] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
  if (kind === "volume") {
    const volume = informers.of(persistentVolumes).byKey(name);
    const { claimRef } = volume?.spec ?? {};
    const claim =
      claimRef && informers.of(persistentVolumeClaims).byKey(`${claimRef.namespace}/${claimRef.name}`);
    return volume && { kind: "volume", volume, claim };
  }
  const claim = informers.of(persistentVolumeClaims).byKey(name);
  if (!claim) return undefined;
  const users = isWaiting(claim) ? podsOfClaim(informers.of(pods), name) : [];
  const waiting = users.find((pod) => !pod.spec.nodeName);
  return {
    kind: "claim",
    claim,
    storageClass: informers.of(storageClasses).byKey(storageClassOf(claim)),
    defaultClass: newestDefault(informers.of(storageClasses).list()),
    volumes: informers.of(persistentVolumes).list(),
    waitingPod: waiting?.metadata.name,
  };
}

/** Of several defaults the newest counts. */
function newestDefault(classes: readonly Readonly<storagev1.StorageClass>[]): string | undefined {
  const defaults = classes.filter(isDefaultStorageClass);
  defaults.sort((a, b) => createdMs(b) - createdMs(a) || (a.metadata.name < b.metadata.name ? -1 : 1));
  return defaults[0]?.metadata.name;
}

async function actOnClaim(plan: ClaimPlan, context: ControllerContext): Promise<Outcome> {
  const { client } = context;
  if (plan.bind) return bind(plan.bind, plan.claim, context);
  let { claim } = plan;
  if (plan.storageClassName) {
    const spec = { ...claim.spec, storageClassName: plan.storageClassName };
    await client.update(persistentVolumeClaims, { ...claim, spec });
    return done;
  }
  if (plan.annotations) {
    const annotations = { ...claim.metadata.annotations, ...plan.annotations };
    claim = await client.update(persistentVolumeClaims, {
      ...claim,
      metadata: { ...claim.metadata, annotations },
    });
  }
  const { phase } = plan;
  if (phase && claim.status?.phase !== phase) {
    const { accessModes: _modes, capacity: _capacity, ...rest } = claim.status ?? {};
    await client.update(
      persistentVolumeClaims,
      { ...claim, status: { ...rest, phase } },
      { subresource: "status" },
    );
  }
  return tellOnce(plan, context);
}

/** Many events of volumes wake a claim that waits: it is told the same only once in a while. */
function tellOnce({ claim, tell }: ClaimPlan, { events, memory, world }: ControllerContext): Outcome {
  if (!tell) {
    memory.delete(claim.metadata.uid);
    return done;
  }
  const nowMs = world.clock.now();
  const last = memory.get(claim.metadata.uid) as { message: string; atMs: number } | undefined;
  if (last?.message !== tell.message || nowMs - last.atMs >= retellMs) {
    events.record(claim, tell.kind, tell.reason, tell.message);
    memory.set(claim.metadata.uid, { message: tell.message, atMs: nowMs });
  }
  return after(retellMs);
}

/** Four writes, each of which may be the last before a crash: the next round goes on from what it finds. */
async function bind(found: Volume, wanted: Claim, { client, memory }: ControllerContext): Promise<Outcome> {
  memory.delete(wanted.metadata.uid);
  let volume = boundVolume(found, wanted);
  if (volume !== found) volume = await client.update(persistentVolumes, volume);
  if (volume.status?.phase !== "Bound")
    await client.update(
      persistentVolumes,
      { ...volume, status: { ...volume.status, phase: "Bound" } },
      { subresource: "status" },
    );
  let claim = boundClaim(wanted, volume);
  if (claim !== wanted) claim = await client.update(persistentVolumeClaims, claim);
  if (claim.status?.phase !== "Bound")
    await client.update(
      persistentVolumeClaims,
      { ...claim, status: boundStatus(claim, volume) },
      { subresource: "status" },
    );
  return done;
}

function boundVolume(volume: Volume, claim: Claim): Volume {
  if (volume.spec.claimRef?.uid === claim.metadata.uid) return volume;
  const { namespace = "", name, uid, resourceVersion } = claim.metadata;
  const claimRef: corev1.ObjectReference = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    namespace,
    name,
    uid,
    resourceVersion,
  };
  const annotations = { ...volume.metadata.annotations };
  if (!isForClaim(volume, claim)) annotations[boundByController] = "yes";
  return { ...volume, metadata: { ...volume.metadata, annotations }, spec: { ...volume.spec, claimRef } };
}

function boundClaim(claim: Claim, volume: Volume): Claim {
  const { annotations = {} } = claim.metadata;
  const isNamed = claim.spec.volumeName === volume.metadata.name;
  if (isNamed && annotations[bindCompleted] !== undefined) return claim;
  const marks = { ...(isNamed ? {} : { [boundByController]: "yes" }), [bindCompleted]: "yes" };
  return {
    ...claim,
    metadata: { ...claim.metadata, annotations: { ...annotations, ...marks } },
    spec: { ...claim.spec, volumeName: volume.metadata.name },
  };
}

function boundStatus({ status }: Claim, { spec }: Volume): corev1.PersistentVolumeClaimStatus {
  const { accessModes, capacity, volumeAttributesClassName } = spec;
  return {
    ...status,
    phase: "Bound",
    ...(accessModes ? { accessModes } : {}),
    ...(capacity ? { capacity } : {}),
    ...(volumeAttributesClassName ? { currentVolumeAttributesClassName: volumeAttributesClassName } : {}),
  };
}

async function actOnVolume(plan: VolumePlan, { client, events }: ControllerContext): Promise<Outcome> {
  let { volume } = plan;
  if (plan.unbind) volume = await client.update(persistentVolumes, unbindVolume(volume));
  if (plan.phase && volume.status?.phase !== plan.phase) {
    const { message: _message, ...rest } = volume.status ?? {};
    const status = { ...rest, phase: plan.phase, ...(plan.message ? { message: plan.message } : {}) };
    await client.update(persistentVolumes, { ...volume, status }, { subresource: "status" });
  }
  const { tell } = plan;
  if (tell) events.record(volume, tell.kind, tell.reason, tell.message);
  return done;
}
