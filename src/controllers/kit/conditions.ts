/** Conditions of a status: one of each type, whose transition time changes only with its status. */

/** What all kinds of condition have in common. */
export interface AnyCondition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}

export function conditionOf<C extends AnyCondition>(
  conditions: readonly C[] | undefined,
  type: string,
): C | undefined {
  return conditions?.find((condition) => condition.type === type);
}

export function isConditionTrue(conditions: readonly AnyCondition[] | undefined, type: string): boolean {
  return conditionOf(conditions, type)?.status === "True";
}

/**
 * The list with `next` in it. Where status and reason are what they were nothing changes; where only the reason
 * differs the transition time stays.
 */
export function withCondition<C extends AnyCondition>(conditions: readonly C[] | undefined, next: C): C[] {
  const list = conditions ?? [];
  const current = conditionOf(list, next.type);
  if (current && current.status === next.status && current.reason === next.reason) return [...list];
  const time =
    current && current.status === next.status ? current.lastTransitionTime : next.lastTransitionTime;
  const condition = { ...next, ...(time ? { lastTransitionTime: time } : {}) };
  return [...list.filter((each) => each.type !== next.type), condition];
}

export function withoutCondition<C extends AnyCondition>(
  conditions: readonly C[] | undefined,
  type: string,
): C[] {
  return (conditions ?? []).filter((each) => each.type !== type);
}
