/**
 * Makes the ResourceClaims that pods ask for by template, and takes back what pods that are over had reserved.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import {
  type corev1,
  type Draft,
  isStatus,
  pods,
  resourceClaims,
  resourceClaimTemplates,
  type resourcev1,
} from "#api";
import { messageOf } from "#base";
import { type Client, type Informers, indexByOwner, keyOf, type ObjectRef, ownedBy } from "#client";
import {
  type ControllerContext,
  defineController,
  done,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "./kit/define-controller.ts";
import { controllerRef, isFinished } from "./kit/pods.ts";

type Pod = Readonly<corev1.Pod>;
type Claim = Readonly<resourcev1.ResourceClaim>;
type Template = Readonly<resourcev1.ResourceClaimTemplate>;

const group = "resource.k8s.io";
const nameAnnotation = "resource.kubernetes.io/pod-claim-name";
/** So many pods may share a claim. */
const consumersMax = 256;
const finalizer = "resource.kubernetes.io/delete-protection";

interface PodState {
  kind: "pod";
  pod: Pod;
  owned: readonly Claim[];
  templates: ReadonlyMap<string, Template>;
  /** Allocated claims that the pod uses without having reserved them: it was given its node by nobody's scheduler. */
  unreserved: readonly Claim[];
}

interface ClaimState {
  kind: "claim";
  claim: Claim;
  /** Of those it is reserved for and of the one that owns it, by uid: those that are there. */
  users: ReadonlyMap<string, Pod>;
}

interface PodPlan {
  kind: "pod";
  pod: Pod;
  create: readonly { name: string; draft: Draft<resourcev1.ResourceClaim> }[];
  missing: readonly { name: string; template: string }[];
  /** Names of claims that are there, by the pod's name for them. */
  known: ReadonlyMap<string, string>;
  reserve: readonly Claim[];
}

interface ClaimPlan {
  kind: "claim";
  claim: Claim;
  reservedFor?: readonly resourcev1.ResourceClaimConsumerReference[];
  /** Pods that the cache does not have, and may not have yet. */
  unseen?: readonly resourcev1.ResourceClaimConsumerReference[];
  /** Nobody uses it any more. */
  deallocate?: boolean;
  release?: boolean;
  delete?: boolean;
}

/** It has ended, or is going without ever having had a node. */
function isOver(pod: Pod): boolean {
  return isFinished(pod) || (pod.metadata.deletionTimestamp !== undefined && !pod.spec.nodeName);
}

function decidePod({ pod, owned, templates, unreserved }: Readonly<PodState>): PodPlan | undefined {
  const known = new Map<string, string>();
  const create: PodPlan["create"][number][] = [];
  const missing: PodPlan["missing"][number][] = [];
  for (const { name, resourceClaimTemplateName: wanted } of pod.spec.resourceClaims ?? []) {
    if (!wanted) continue;
    const claim = owned.find(({ metadata }) => metadata.annotations?.[nameAnnotation] === name);
    const template = templates.get(wanted);
    if (claim) known.set(name, claim.metadata.name);
    else if (template) create.push({ name, draft: claimFrom(template, pod, name) });
    else missing.push({ name, template: wanted });
  }
  const told = new Map(
    (pod.status?.resourceClaimStatuses ?? []).map((each) => [each.name, each.resourceClaimName]),
  );
  const isNews = [...known].some(([name, claim]) => told.get(name) !== claim);
  return create.length + missing.length + unreserved.length > 0 || isNews
    ? { kind: "pod", pod, create, missing, known, reserve: unreserved }
    : undefined;
}

function claimFrom({ spec }: Template, pod: Pod, name: string): Draft<resourcev1.ResourceClaim> {
  const { labels, annotations } = spec.metadata ?? {};
  return {
    metadata: {
      namespace: pod.metadata.namespace ?? "default",
      generateName: `${pod.metadata.name}-${name}-`,
      ...(labels ? { labels } : {}),
      annotations: { ...annotations, [nameAnnotation]: name },
      ownerReferences: [controllerRef(pod)],
    },
    spec: spec.spec,
  };
}

function decideClaim({ claim, users }: Readonly<ClaimState>): ClaimPlan | undefined {
  const { ownerReferences, deletionTimestamp, finalizers } = claim.metadata;
  const owner = ownerReferences?.find(({ kind, controller }) => kind === "Pod" && controller);
  const ownerPod = owner && users.get(owner.uid);
  const { allocation, reservedFor = [] } = claim.status ?? {};
  const valid = reservedFor.filter(({ resource, apiGroup, uid }) => {
    if (resource !== "pods" || apiGroup) return true;
    const user = users.get(uid);
    return user !== undefined && !isOver(user);
  });
  const isFree = valid.length === 0;
  const plan: Omit<ClaimPlan, "kind" | "claim"> = {
    ...(valid.length < reservedFor.length
      ? {
          reservedFor: valid,
          unseen: reservedFor.filter((each) => !valid.includes(each) && !users.has(each.uid)),
        }
      : {}),
    // A claim that pods share stays allocated only while one of them has it reserved.
    ...(isFree && allocation && (reservedFor.length > 0 || deletionTimestamp) ? { deallocate: true } : {}),
    ...(isFree &&
    finalizers?.includes(finalizer) &&
    (!allocation || reservedFor.length > 0 || deletionTimestamp)
      ? { release: true }
      : {}),
    ...(ownerPod && isOver(ownerPod) && !deletionTimestamp ? { delete: true } : {}),
  };
  return Object.keys(plan).length > 0 ? { kind: "claim", claim, ...plan } : undefined;
}

function observe({ informers }: ControllerContext, key: string): PodState | ClaimState | undefined {
  const [kind, name] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
  if (kind === "claim") {
    const claim = informers.of(resourceClaims).byKey(name);
    if (!claim) return undefined;
    const { namespace = "", ownerReferences = [] } = claim.metadata;
    const named = [
      ...(claim.status?.reservedFor ?? []),
      ...ownerReferences.filter((each) => each.kind === "Pod"),
    ];
    const found = named
      .map((each) => informers.of(pods).get(namespace, each.name))
      .filter((pod) => pod !== undefined);
    return { kind: "claim", claim, users: new Map(found.map((pod) => [pod.metadata.uid, pod])) };
  }
  const pod = informers.of(pods).byKey(name);
  if (!pod || isFinished(pod) || pod.metadata.deletionTimestamp) return undefined;
  const templates = new Map<string, Template>();
  for (const { resourceClaimTemplateName: wanted } of pod.spec.resourceClaims ?? []) {
    const template = wanted && informers.of(resourceClaimTemplates).get(pod.metadata.namespace ?? "", wanted);
    if (template) templates.set(template.metadata.name, template);
  }
  const owned = ownedBy(informers.of(resourceClaims), pod.metadata.uid);
  return { kind: "pod", pod, owned, templates, unreserved: unreservedBy(informers, pod) };
}

function unreservedBy(informers: Informers, pod: Pod): Claim[] {
  if (!pod.spec.nodeName) return [];
  const told = pod.status?.resourceClaimStatuses ?? [];
  return (pod.spec.resourceClaims ?? []).flatMap(({ name, resourceClaimName }) => {
    const claimName = resourceClaimName ?? told.find((each) => each.name === name)?.resourceClaimName;
    const claim =
      claimName === undefined
        ? undefined
        : informers.of(resourceClaims).get(pod.metadata.namespace ?? "", claimName);
    if (!claim?.status?.allocation || claim.metadata.deletionTimestamp) return [];
    const users = claim.status.reservedFor ?? [];
    return users.length < consumersMax && !users.some(({ uid }) => uid === pod.metadata.uid) ? [claim] : [];
  });
}

const hasClaims = ({ spec, status }: Pod) =>
  (spec.resourceClaims?.length ?? 0) > 0 || status?.extendedResourceClaimStatus !== undefined;

export const resourceClaimController = defineController<PodState | ClaimState, PodPlan | ClaimPlan>({
  name: "resource-claim-controller",
  secondaries: [
    source(pods, (pod, { informers }) => {
      if (!hasClaims(pod)) return [];
      const users = informers.of(resourceClaims).byIndex(userIndex, pod.metadata.uid);
      return [`pod:${keyOf(pod)}`, ...users.map((claim) => `claim:${keyOf(claim)}`)];
    }),
    source(resourceClaims, (claim) => {
      const { namespace, ownerReferences = [] } = claim.metadata;
      const owners = ownerReferences.filter(({ kind }) => kind === "Pod");
      return [`claim:${keyOf(claim)}`, ...owners.map(({ name }) => `pod:${namespace}/${name}`)];
    }),
    source(resourceClaimTemplates, ({ metadata }, { informers }) =>
      informers
        .of(pods)
        .list(metadata.namespace)
        .filter((pod) =>
          pod.spec.resourceClaims?.some((each) => each.resourceClaimTemplateName === metadata.name),
        )
        .map((pod) => `pod:${keyOf(pod)}`),
    ),
  ],
  concurrency: 5,
  rules: [
    rule("", ["pods"], readVerbs),
    rule("", ["pods/finalizers"], ["update"]),
    rule("", ["pods/status"], ["patch"]),
    rule(group, ["resourceclaimtemplates"], readVerbs),
    rule(group, ["resourceclaims"], [...readVerbs, "create", "delete", "patch", "update"]),
    rule(group, ["resourceclaims/binding", "resourceclaims/status"], ["update"]),
    ...eventRules,
  ],
  prepare({ informers }) {
    indexByOwner(informers.of(resourceClaims));
    informers
      .of(resourceClaims)
      .addIndex(userIndex, ({ metadata, status }) => [
        ...(status?.reservedFor ?? []).map(({ uid }) => uid),
        ...(metadata.ownerReferences ?? []).map(({ uid }) => uid),
      ]);
  },
  observe,
  decide: (state) => (state.kind === "pod" ? decidePod(state) : decideClaim(state)),
  act: (plan, context) => (plan.kind === "pod" ? actOnPod(plan, context) : actOnClaim(plan, context)),
});

const userIndex = "claimUsers";

async function actOnPod(
  { pod, create, missing, known, reserve }: PodPlan,
  context: ControllerContext,
): Promise<Outcome> {
  const { client, events } = context;
  const names = new Map(known);
  const fail = (name: string, why: string) =>
    events.record(pod, "Warning", "FailedResourceClaimCreation", `PodResourceClaim ${name}: ${why}`);
  for (const { name, template } of missing)
    fail(
      name,
      `resource claim template "${template}": resourceclaimtemplate.resource.k8s.io "${template}" not found`,
    );
  for (const { name, draft } of create) {
    const created = (status: "success" | "failure") => countCreation(context, draft, status);
    try {
      names.set(name, (await client.create(resourceClaims, draft)).metadata.name);
      created("success");
    } catch (error) {
      created("failure");
      fail(name, `create: ${messageOf(error)}`);
      throw error;
    }
  }
  for (const claim of reserve) {
    const { name, uid } = pod.metadata;
    const reservedFor = [...(claim.status?.reservedFor ?? []), { resource: "pods", name, uid }];
    const draft = { ...claim, status: { ...claim.status, reservedFor } };
    await client.update(resourceClaims, draft, { subresource: "status" });
  }
  if (names.size > 0) {
    const resourceClaimStatuses = [...names].map(([name, resourceClaimName]) => ({
      name,
      resourceClaimName,
    }));
    const { uid } = pod.metadata;
    const patch = { metadata: { uid }, status: { resourceClaimStatuses } };
    await client.patch(pods, pod.metadata, "strategic", patch, { subresource: "status" });
  }
  return done;
}

/** https://kubernetes.io/docs/reference/instrumentation/metrics/ */
function countCreation(
  { world }: ControllerContext,
  { spec }: Draft<resourcev1.ResourceClaim>,
  status: "success" | "failure",
): void {
  const isForAdministrators = spec?.devices?.requests?.some(({ exactly }) => exactly?.adminAccess) ?? false;
  world.metrics
    .counter(
      "dynamic_resource_allocation_resourceclaim_creates_total",
      "Number of ResourceClaims creation requests, categorized by creation status and admin access",
      ["status", "admin_access"],
    )
    .inc({ status, admin_access: String(isForAdministrators) });
}

async function isUsing(client: Client, ref: ObjectRef, uid: string): Promise<boolean> {
  try {
    const pod = await client.get(pods, ref);
    return pod.metadata.uid === uid && !isOver(pod);
  } catch (error) {
    if (isStatus(error, "NotFound")) return false;
    throw error;
  }
}

async function actOnClaim(plan: ClaimPlan, { client }: ControllerContext): Promise<Outcome> {
  let { claim } = plan;
  for (const { name, uid } of plan.unseen ?? [])
    if (await isUsing(client, { namespace: claim.metadata.namespace, name }, uid))
      return { kind: "retry", why: `pod ${name} is not in the cache yet` };
  if (plan.reservedFor || plan.deallocate) {
    const { allocation, reservedFor, ...rest } = claim.status ?? {};
    const left = plan.reservedFor ?? reservedFor ?? [];
    const status = {
      ...rest,
      ...(plan.deallocate || !allocation ? {} : { allocation }),
      ...(left.length > 0 ? { reservedFor: [...left] } : {}),
    };
    claim = await client.update(resourceClaims, { ...claim, status }, { subresource: "status" });
  }
  if (plan.release) {
    const finalizers = (claim.metadata.finalizers ?? []).filter((each) => each !== finalizer);
    const { uid, resourceVersion } = claim.metadata;
    await client.patch(resourceClaims, claim.metadata, "merge", {
      metadata: { uid, resourceVersion, finalizers },
    });
  }
  if (plan.delete)
    await client.delete(resourceClaims, claim.metadata, { preconditions: { uid: claim.metadata.uid } });
  return done;
}
