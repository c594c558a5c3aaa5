/**
 * What the devices of a claim must have in common, or must not. A constraint that is broken stays so whatever is added:
 * that is what lets the search stop early.
 * https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-claim-v1/#DeviceConstraint
 */
import type { resourcev1 } from "#api";
import type { Device } from "./pools.ts";

export interface Constraint {
  /** False: the device cannot be added, and was not. `names`: of the request and, where it has one, of the subrequest. */
  add(names: readonly string[], driver: string, device: Device): boolean;
  /** Takes back the last that was added. */
  remove(names: readonly string[]): void;
}

/** Undefined: of a kind that is not known. */
export function constraintOf(wanted: Readonly<resourcev1.DeviceConstraint>): Constraint | undefined {
  const { matchAttribute, distinctAttribute, requests = [] } = wanted;
  const concerns = (names: readonly string[]) =>
    requests.length === 0 || names.some((name) => requests.includes(name));
  const attribute = matchAttribute ?? distinctAttribute;
  if (attribute === undefined) return undefined;
  const next = matchAttribute === undefined ? joined : shared;
  /** What holds after each device that was added. */
  const history: (readonly string[])[] = [];
  return {
    add(names, driver, device) {
      if (!concerns(names)) return true;
      const values = attributeValues(attribute, driver, device);
      if (!values) return false;
      const before = history.at(-1);
      const now = before ? next(before, values) : values;
      if (!now) return false;
      history.push(now);
      return true;
    },
    remove(names) {
      if (concerns(names)) history.pop();
    },
  };
}

/** What all have; of lists, at least one value. */
function shared(before: readonly string[], values: readonly string[]): readonly string[] | undefined {
  const both = before.filter((value) => values.includes(value));
  return both.length > 0 ? both : undefined;
}

/** What some have, and no two of them. */
function joined(before: readonly string[], values: readonly string[]): readonly string[] | undefined {
  return values.some((value) => before.includes(value)) ? undefined : [...before, ...values];
}

/** With their type, since 1 and "1" differ; undefined: the device has no such attribute. */
function attributeValues(name: string, driver: string, { attributes = {} }: Device): string[] | undefined {
  const prefix = `${driver}/`;
  const own = name.startsWith(prefix) ? attributes[name.slice(prefix.length)] : undefined;
  const attribute = attributes[name] ?? own;
  for (const [type, value] of Object.entries(attribute ?? {})) {
    if (value === undefined) continue;
    if (Array.isArray(value)) return value.map((each) => `${type.slice(0, -1)}:${each}`);
    return [`${type}:${value}`];
  }
  return undefined;
}
