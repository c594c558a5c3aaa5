/**
 * Writes every object of a kind again, so that none is stored in an older version than new ones are.
 * https://kubernetes.io/docs/tasks/manage-kubernetes-objects/storage-version-migration/
 */
import {
  customResourceDefinitions,
  formatTime,
  isStatus,
  type KubernetesObject,
  type metav1,
  type ResourceType,
  StatusError,
  type storagemigrationv1beta1,
  storageVersionMigrations,
  storedDefinitions,
} from "#api";
import { messageOf } from "#base";
import { isConditionTrue } from "./kit/conditions.ts";
import { customTypeOf } from "./kit/custom-kinds.ts";
import {
  type ControllerContext,
  defineController,
  done,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "./kit/define-controller.ts";

type Migration = Readonly<storagemigrationv1beta1.StorageVersionMigration>;

const group = "storagemigration.k8s.io";
const pageSize = 500;

interface State {
  migration: Migration;
  /** Undefined where nothing of that name is served. */
  type: ResourceType | undefined;
}

function typeOf({ spec }: Migration, { informers }: ControllerContext): ResourceType | undefined {
  const { group: wanted = "", resource } = spec.resource;
  const builtIn = storedDefinitions.find((each) => each.group === wanted && each.resource === resource);
  if (builtIn) return builtIn as ResourceType<KubernetesObject>;
  const definitions = informers.of(customResourceDefinitions).list();
  const definition = definitions.find(
    ({ spec: { group: own, names } }) => own === wanted && names.plural === resource,
  );
  return definition && customTypeOf(definition);
}

function isOver({ status }: Migration): boolean {
  return isConditionTrue(status?.conditions, "Succeeded") || isConditionTrue(status?.conditions, "Failed");
}

export const storageVersionMigrationController = defineController<State, State>({
  name: "storage-version-migrator-controller",
  primary: storageVersionMigrations,
  secondaries: [source(customResourceDefinitions, () => [])],
  concurrency: 1,
  rules: [
    rule(group, ["storageversionmigrations"], readVerbs),
    rule(group, ["storageversionmigrations/status"], ["update"]),
    rule("apiextensions.k8s.io", ["customresourcedefinitions"], readVerbs),
    rule("*", ["*"], ["list", "patch"]),
  ],
  observe(context, key) {
    const migration = context.informers.of(storageVersionMigrations).byKey(key);
    return migration && { migration, type: typeOf(migration, context) };
  },
  decide: (state) =>
    isOver(state.migration) || state.migration.metadata.deletionTimestamp ? undefined : state,
  async act({ migration, type }, context) {
    if (!type) return say(migration, "Failed", "resource does not exist in the cluster", context);
    const { metadata } = await context.client.list(type, { limit: 1 });
    const running = await begin(migration, metadata.resourceVersion ?? "", context);
    try {
      await rewrite(type, context);
    } catch (error) {
      // What the server refuses now it refuses for ever; a broken connection is tried again.
      if (!(error instanceof StatusError)) throw error;
      return say(running, "Failed", messageOf(error), context);
    }
    return say(running, "Succeeded", "", context);
  },
});

async function begin(
  migration: Migration,
  resourceVersion: string,
  context: ControllerContext,
): Promise<Migration> {
  if (isConditionTrue(migration.status?.conditions, "Running")) return migration;
  const status = { resourceVersion, ...withSaid(migration, "Running", "", context) };
  return context.client.update(storageVersionMigrations, { ...migration, status }, { subresource: "status" });
}

/** A patch that asks for nothing: the server stores what it would store of it now. */
async function rewrite(type: ResourceType, { client, signal }: ControllerContext): Promise<void> {
  let from: string | undefined;
  do {
    const page = await client.list(type, { limit: pageSize, signal, ...(from ? { continue: from } : {}) });
    for (const { metadata } of page.items) {
      const { uid, resourceVersion } = metadata;
      try {
        await client.patch(type, metadata, "merge", { metadata: { uid, resourceVersion } });
      } catch (error) {
        // Gone, or just written by somebody else: either way nothing old is left of it.
        if (!isStatus(error, "NotFound") && !isStatus(error, "Conflict")) throw error;
      }
    }
    from = page.metadata.continue || undefined;
  } while (from);
}

const reasons = {
  Running: "StorageVersionMigrationInProgress",
  Succeeded: "StorageVersionMigrationSucceeded",
  Failed: "StorageVersionMigrationFailed",
};

function withSaid(
  { status }: Migration,
  type: keyof typeof reasons,
  message: string,
  { world }: ControllerContext,
): storagemigrationv1beta1.StorageVersionMigrationStatus {
  const lastTransitionTime = formatTime(world.clock.now());
  const ended = (status?.conditions ?? []).map((each) =>
    each.type === "Running" ? { ...each, status: "False" as const, lastTransitionTime } : each,
  );
  const said: metav1.Condition = { type, status: "True", reason: reasons[type], message, lastTransitionTime };
  return { ...status, conditions: [...ended, said] };
}

async function say(
  migration: Migration,
  type: keyof typeof reasons,
  message: string,
  context: ControllerContext,
): Promise<Outcome> {
  const status = withSaid(migration, type, message, context);
  await context.client.update(storageVersionMigrations, { ...migration, status }, { subresource: "status" });
  return done;
}
