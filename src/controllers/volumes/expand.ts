/**
 * Claims that ask for more than their volume has. Volumes are enlarged by the drivers that made them, and this says who
 * is waited for; a folder of a node has all the room there is, and is enlarged by saying so.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims
 */
import { compareQuantities, persistentVolumeClaims, persistentVolumes } from "#api";
import {
  type ControllerContext,
  defineController,
  done,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
} from "../kit/define-controller.ts";
import { localPathProvisioner } from "./local-path.ts";
import type { Claim, Volume } from "./matching.ts";

interface State {
  claim: Claim;
  volume: Volume | undefined;
}

interface Plan {
  size: string;
  /** The volume that is enlarged here. */
  volume?: Volume;
}

function wantsMore({ metadata, spec, status }: Claim): boolean {
  if (status?.phase !== "Bound" || metadata.deletionTimestamp) return false;
  const wanted = spec.resources?.requests?.storage;
  return wanted !== undefined && compareQuantities(wanted, status.capacity?.storage ?? 0) > 0;
}

function isFolder({ metadata }: Volume): boolean {
  return metadata.annotations?.["pv.kubernetes.io/provisioned-by"] === localPathProvisioner;
}

export const volumeExpandController = defineController<State, Plan>({
  name: "persistentvolume-expander-controller",
  primary: persistentVolumeClaims,
  concurrency: 2,
  rules: [
    rule("", ["persistentvolumeclaims"], readVerbs),
    rule("", ["persistentvolumeclaims/status"], ["patch"]),
    rule("", ["persistentvolumes"], [...readVerbs, "patch"]),
    ...eventRules,
  ],
  observe({ informers }, key) {
    const claim = informers.of(persistentVolumeClaims).byKey(key);
    return claim && { claim, volume: informers.of(persistentVolumes).byKey(claim.spec.volumeName ?? "") };
  },
  decide({ claim, volume }) {
    if (!wantsMore(claim)) return undefined;
    const size = String(claim.spec.resources?.requests?.storage);
    return volume && isFolder(volume) && volume.spec.claimRef?.uid === claim.metadata.uid
      ? { size, volume }
      : { size };
  },
  act: (plan, context, { claim }) =>
    plan.volume
      ? enlarge(claim, plan.volume, plan.size, context)
      : sayWhoIsAwaited(claim, plan.size, context),
});

async function enlarge(
  claim: Claim,
  volume: Volume,
  size: string,
  { client, events }: ControllerContext,
): Promise<Outcome> {
  const { uid, name } = volume.metadata;
  if (compareQuantities(volume.spec.capacity?.storage ?? 0, size) < 0) {
    events.record(claim, "Normal", "Resizing", `External resizer is resizing volume ${name}`);
    const patch = { metadata: { uid }, spec: { capacity: { storage: size } } };
    await client.patch(persistentVolumes, volume.metadata, "merge", patch);
  }
  const patch = { metadata: { uid: claim.metadata.uid }, status: { capacity: { storage: size } } };
  await client.patch(persistentVolumeClaims, claim.metadata, "merge", patch, { subresource: "status" });
  events.record(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded");
  return done;
}

async function sayWhoIsAwaited(
  claim: Claim,
  size: string,
  { events, memory }: ControllerContext,
): Promise<Outcome> {
  const { uid } = claim.metadata;
  if (memory.get(uid) === size) return done;
  memory.set(uid, size);
  const why =
    "didn't find a plugin capable of expanding the volume; waiting for an external controller to process this PVC";
  events.record(claim, "Normal", "ExternalExpanding", `Ignoring the PVC: ${why}.`);
  return done;
}
