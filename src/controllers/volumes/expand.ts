/**
 * Claims that ask for more than their volume has. Volumes are enlarged by the drivers that made them; this says who is
 * waited for. https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims
 */
import { compareQuantities, type corev1, persistentVolumeClaims } from "#api";
import { defineController, done, eventRules, readVerbs, rule } from "../kit/define-controller.ts";

type Claim = Readonly<corev1.PersistentVolumeClaim>;

function wantsMore({ metadata, spec, status }: Claim): boolean {
  if (status?.phase !== "Bound" || metadata.deletionTimestamp) return false;
  const wanted = spec.resources?.requests?.storage;
  return wanted !== undefined && compareQuantities(wanted, status.capacity?.storage ?? 0) > 0;
}

export const volumeExpandController = defineController<Claim, { size: string }>({
  name: "persistentvolume-expander-controller",
  primary: persistentVolumeClaims,
  concurrency: 2,
  rules: [rule("", ["persistentvolumeclaims"], readVerbs), ...eventRules],
  observe: ({ informers }, key) => informers.of(persistentVolumeClaims).byKey(key),
  decide(claim) {
    return wantsMore(claim) ? { size: String(claim.spec.resources?.requests?.storage) } : undefined;
  },
  async act({ size }, { events, memory }, claim) {
    const { uid } = claim.metadata;
    if (memory.get(uid) === size) return done;
    memory.set(uid, size);
    const why =
      "didn't find a plugin capable of expanding the volume; waiting for an external controller to process this PVC";
    events.record(claim, "Normal", "ExternalExpanding", `Ignoring the PVC: ${why}.`);
    return done;
  },
});
