/**
 * A FlowSchema says whether the priority level that it names is there: its condition `Dangling`.
 * https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#flowschema
 */
import {
  type flowcontrolv1,
  flowSchemas,
  formatTime,
  isStatus,
  type KubernetesObject,
  priorityLevelConfigurations,
  type ResourceDefinition,
} from "#api";
import { keyPrefix } from "../cache/keys.ts";
import type { Registry, WriteContext } from "../registry/context.ts";
import { change, statusStrategy } from "../registry/update.ts";
import { authenticatedGroup } from "../user.ts";

type FlowSchema = flowcontrolv1.FlowSchema & KubernetesObject;
type Condition = flowcontrolv1.FlowSchemaCondition;

const definition = flowSchemas as ResourceDefinition;
const levels = priorityLevelConfigurations as ResourceDefinition;
const context: WriteContext = {
  user: { username: "system:apiserver", groups: ["system:masters", authenticatedGroup] },
  dryRun: false,
};
const type = "Dangling";

/** The condition as it must be; undefined while it is. */
export function danglingCondition(
  { spec, status }: Readonly<FlowSchema>,
  isThere: boolean,
  nowMs: number,
): Condition | undefined {
  const named = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(spec.priorityLevelConfiguration.name)}`;
  const wanted: Condition = isThere
    ? { type, status: "False", reason: "Found", message: `${named} and it exists` }
    : { type, status: "True", reason: "NotFound", message: `${named} but there is no such object` };
  const found = status?.conditions?.find((each) => each.type === type);
  const isSame = found?.status === wanted.status;
  if (isSame && found?.message === wanted.message) return undefined;
  return { ...wanted, lastTransitionTime: (isSame && found?.lastTransitionTime) || formatTime(nowMs) };
}

/** Writes nothing while every condition is as it must be. */
export function followFlowSchemas(registry: Registry): { cancel(): void } {
  const { storage, world } = registry;
  const conditionOf = (schema: Readonly<FlowSchema>) => {
    const level = storage.find(levels, undefined, schema.spec.priorityLevelConfiguration.name);
    return danglingCondition(schema, level !== undefined, world.clock.now());
  };
  const write = (name: string) =>
    change(
      registry,
      { definition, namespace: undefined, name },
      context,
      statusStrategy(definition),
      (read) => {
        const current = read() as FlowSchema;
        const condition = conditionOf(current);
        const others = (current.status?.conditions ?? []).filter((each) => each.type !== type);
        if (condition) current.status = { ...current.status, conditions: [...others, condition] };
        return current;
      },
    );
  const judge = (object: Readonly<KubernetesObject>) => {
    if (!conditionOf(object as FlowSchema)) return;
    write(object.metadata.name ?? "").catch((error) => {
      // It has gone meanwhile, or the next change tells again.
      if (!isStatus(error, "NotFound"))
        world.log.warn({ err: error }, "the status of a FlowSchema is not told");
    });
  };
  const judgeAll = () => {
    for (const object of storage.cache(definition).scan(keyPrefix(definition))) judge(object.parse());
  };
  const ends = [
    storage.cache(definition).listen(({ current }) => current && judge(current.parse())),
    storage.cache(levels).listen(({ current, previous }) => {
      if (!current || !previous) judgeAll();
    }),
  ];
  judgeAll();
  return { cancel: () => ends.forEach((end) => void end()) };
}
