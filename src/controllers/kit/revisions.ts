/**
 * The history of a workload's template, kept as ControllerRevisions: each holds the patch that brings its template back,
 * which is what `kubectl rollout undo` sends.
 * https://kubernetes.io/docs/tasks/manage-daemon/rollback-daemon-set/#understanding-daemonset-revisions
 */
import {
  type appsv1,
  controllerRevisions,
  type corev1,
  type Draft,
  isStatus,
  type KubernetesObject,
  sameJson,
} from "#api";
import { type Client, controllerOf } from "#client";
import { canonicalJson, fnv32a, safeEncode } from "./hash.ts";
import { controllerRef, createdMs } from "./pods.ts";

export type Revision = Readonly<appsv1.ControllerRevision>;
type Template = corev1.PodTemplateSpec;
type Owner = Readonly<KubernetesObject & { spec: { template: Template } }>;

export const revisionHashLabel = "controller-revision-hash";

/** What a round does about the history. */
export interface RevisionPlan {
  /** Name and hash of the revision of the present template, which may be among what is created. */
  readonly name: string;
  readonly hash: string;
  readonly create: Draft<appsv1.ControllerRevision> | undefined;
  /** An older template is wanted again: its revision becomes the newest. */
  readonly renumber: { readonly revision: Revision; readonly to: number } | undefined;
  /** All others, oldest first. */
  readonly old: readonly Revision[];
}

/** The patch as upstream writes it, with sorted keys: kubectl compares texts. */
function templateData(template: Readonly<Template>): { spec: { template: unknown } } {
  return JSON.parse(canonicalJson({ spec: { template: { ...template, $patch: "replace" } } }));
}

/** The template that a revision brings back; undefined where somebody else wrote it. */
export function templateOf(revision: Revision): Template | undefined {
  const data = revision.data as { spec?: { template?: Template & { $patch?: string } } } | undefined;
  const stored = data?.spec?.template;
  if (typeof stored !== "object" || stored === null) return undefined;
  const { $patch: _directive, ...template } = stored;
  return template;
}

function byNumber(a: Revision, b: Revision): number {
  return (
    a.revision - b.revision || createdMs(a) - createdMs(b) || (a.metadata.name < b.metadata.name ? -1 : 1)
  );
}

export function planRevisions(
  owner: Owner,
  revisions: readonly Revision[],
  collisionCount: number,
): RevisionPlan {
  const data = templateData(owner.spec.template);
  const sorted = [...revisions].sort(byNumber);
  const current = sorted.findLast((revision) => sameJson(revision.data, data));
  const old = sorted.filter((revision) => revision !== current);
  const number = (old.at(-1)?.revision ?? 0) + 1;
  if (current) {
    const hash = current.metadata.labels?.[revisionHashLabel] ?? current.metadata.name;
    const renumber = current.revision < number ? { revision: current, to: number } : undefined;
    return { name: current.metadata.name, hash, create: undefined, renumber, old };
  }
  const create = newRevision(owner, data, number, collisionCount);
  const { hash, draft } = create;
  return { name: draft.metadata?.name ?? "", hash, create: draft, renumber: undefined, old };
}

function newRevision(
  owner: Owner,
  data: unknown,
  revision: number,
  collisionCount: number,
): { hash: string; draft: Draft<appsv1.ControllerRevision> } {
  const hash = safeEncode(fnv32a(canonicalJson(data) + (collisionCount ? String(collisionCount) : "")));
  const { name, namespace, annotations } = owner.metadata;
  const draft: Draft<appsv1.ControllerRevision> = {
    metadata: {
      name: `${name}-${hash}`,
      namespace: namespace ?? "default",
      labels: { ...owner.spec.template.metadata?.labels, [revisionHashLabel]: hash },
      ...(annotations ? { annotations } : {}),
      ownerReferences: [controllerRef(owner)],
    },
    data,
    revision,
  };
  return { hash, draft };
}

/** Of those that no pod runs any more, the oldest beyond the limit. */
export function surplusRevisions(
  old: readonly Revision[],
  limit: number | undefined,
  isLive: (revision: Revision) => boolean,
): readonly Revision[] {
  const idle = old.filter((revision) => !isLive(revision) && !revision.metadata.deletionTimestamp);
  return idle.slice(0, Math.max(0, idle.length - (limit ?? 10)));
}

/** `collision`: the name belongs to another template, and the owner must count it to get another name. */
export async function settleRevisions(
  client: Client,
  owner: Readonly<KubernetesObject>,
  plan: RevisionPlan,
  surplus: readonly Revision[],
): Promise<"settled" | "collision"> {
  if (plan.create) {
    try {
      await client.create(controllerRevisions, plan.create);
    } catch (error) {
      if (!isStatus(error, "AlreadyExists")) throw error;
      const taken = await client.get(controllerRevisions, {
        namespace: owner.metadata.namespace,
        name: plan.name,
      });
      const ours = controllerOf(taken)?.uid === owner.metadata.uid && sameJson(taken.data, plan.create.data);
      // Ours: the cache had not seen it yet.
      if (ours) throw error;
      return "collision";
    }
  }
  if (plan.renumber) {
    const { revision, to } = plan.renumber;
    await client.update(controllerRevisions, { ...revision, revision: to } as appsv1.ControllerRevision);
  }
  await Promise.all(surplus.map((revision) => removeRevision(client, revision)));
  return "settled";
}

async function removeRevision(client: Client, { metadata }: Revision): Promise<void> {
  try {
    await client.delete(controllerRevisions, metadata, { preconditions: { uid: metadata.uid } });
  } catch (error) {
    if (!isStatus(error, "NotFound")) throw error;
  }
}
