/**
 * Makes the claims of pods' generic ephemeral volumes; each belongs to its pod and goes with it.
 * https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
 */
import { type corev1, type Draft, isStatus, persistentVolumeClaims, pods } from "#api";
import { messageOf } from "#base";
import { defineController, done, eventRules, readVerbs, rule, source } from "../kit/define-controller.ts";
import { controllerRef, isActive } from "../kit/pods.ts";
import { ephemeralClaimName } from "./claim-users.ts";

interface State {
  pod: Readonly<corev1.Pod>;
  claims: ReadonlyMap<string, Readonly<corev1.PersistentVolumeClaim>>;
}

interface Plan {
  create: readonly { volume: string; draft: Draft<corev1.PersistentVolumeClaim> }[];
  /** Whose claims are there and are somebody else's. */
  foreign: readonly corev1.Volume[];
}

function ephemeralVolumes({ spec }: Readonly<corev1.Pod>): corev1.Volume[] {
  return (spec.volumes ?? []).filter((volume) => volume.ephemeral?.volumeClaimTemplate);
}

function claimFor(pod: Readonly<corev1.Pod>, volume: corev1.Volume): Draft<corev1.PersistentVolumeClaim> {
  const { metadata, spec } = volume.ephemeral?.volumeClaimTemplate ?? { spec: {} };
  const { labels, annotations } = metadata ?? {};
  return {
    metadata: {
      namespace: pod.metadata.namespace ?? "default",
      name: ephemeralClaimName(pod, volume),
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      ownerReferences: [controllerRef(pod)],
    },
    spec,
  };
}

export const ephemeralVolumeController = defineController<State, Plan>({
  name: "ephemeral-volume-controller",
  primary: pods,
  secondaries: [
    source(persistentVolumeClaims, ({ metadata }) =>
      (metadata.ownerReferences ?? [])
        .filter(({ kind }) => kind === "Pod")
        .map(({ name }) => `${metadata.namespace}/${name}`),
    ),
  ],
  concurrency: 2,
  rules: [
    rule("", ["pods"], readVerbs),
    rule("", ["pods/finalizers"], ["update"]),
    rule("", ["persistentvolumeclaims"], [...readVerbs, "create"]),
    ...eventRules,
  ],
  observe({ informers }, key) {
    const pod = informers.of(pods).byKey(key);
    if (!pod || !isActive(pod)) return undefined;
    const volumes = ephemeralVolumes(pod);
    if (volumes.length === 0) return undefined;
    const claims = new Map<string, Readonly<corev1.PersistentVolumeClaim>>();
    for (const volume of volumes) {
      const name = ephemeralClaimName(pod, volume);
      const claim = informers.of(persistentVolumeClaims).get(pod.metadata.namespace ?? "", name);
      if (claim) claims.set(name, claim);
    }
    return { pod, claims };
  },
  decide({ pod, claims }) {
    const create: Plan["create"][number][] = [];
    const foreign: corev1.Volume[] = [];
    for (const volume of ephemeralVolumes(pod)) {
      const claim = claims.get(ephemeralClaimName(pod, volume));
      if (!claim) create.push({ volume: volume.name, draft: claimFor(pod, volume) });
      else if (!claim.metadata.ownerReferences?.some(({ uid }) => uid === pod.metadata.uid))
        foreign.push(volume);
    }
    return create.length + foreign.length > 0 ? { create, foreign } : undefined;
  },
  async act({ create, foreign }, { client, events }, { pod }) {
    const { namespace, name } = pod.metadata;
    const failed = (volume: string, why: string) =>
      events.record(pod, "Warning", "FailedBinding", `ephemeral volume ${volume}: ${why}`);
    for (const volume of foreign) {
      const claim = `${namespace}/${ephemeralClaimName(pod, volume)}`;
      failed(volume.name, `PVC ${claim} was not created for pod ${namespace}/${name} (pod is not owner)`);
    }
    for (const { volume, draft } of create) {
      try {
        await client.create(persistentVolumeClaims, draft);
      } catch (error) {
        if (isStatus(error, "AlreadyExists")) continue;
        failed(volume, `create PVC ${draft.metadata?.name}: ${messageOf(error)}`);
        throw error;
      }
    }
    return foreign.length > 0 ? { kind: "terminal", why: "its claims are somebody else's" } : done;
  },
});
