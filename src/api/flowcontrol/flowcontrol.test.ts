import { expect, test } from "vitest";
import { errorsOf, make } from "../testing/examples.ts";
import {
  mandatoryFlowSchemas,
  mandatoryPriorityLevels,
  suggestedFlowSchemas,
  suggestedPriorityLevels,
} from "./defaults.ts";
import { flowSchemas } from "./flow-schema.ts";
import { priorityLevelConfigurations } from "./priority-level.ts";

const rule = {
  subjects: [{ kind: "User", user: { name: "a" } }],
  resourceRules: [{ verbs: ["get"], apiGroups: [""], resources: ["pods"], clusterScope: true }],
};
const spec = { priorityLevelConfiguration: { name: "global-default" }, rules: [rule] };

test("everything that a cluster starts with is valid", () => {
  for (const { name, spec } of [...mandatoryPriorityLevels, ...suggestedPriorityLevels])
    expect([name, errorsOf(priorityLevelConfigurations, { metadata: { name }, spec })]).toEqual([name, []]);
  for (const { name, spec } of [...mandatoryFlowSchemas, ...suggestedFlowSchemas])
    expect([name, errorsOf(flowSchemas, { metadata: { name }, spec })]).toEqual([name, []]);
});

test("a flow schema stands in the middle unless it says where", () => {
  expect(make(flowSchemas, { spec }).spec.matchingPrecedence).toBe(1000);
});

test.each([
  [
    { ...spec, priorityLevelConfiguration: {} },
    ["spec.priorityLevelConfiguration.name: Required value: must reference a priority level"],
  ],
  [
    { ...spec, matchingPrecedence: 10_001 },
    ["spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"],
  ],
  [
    { ...spec, matchingPrecedence: 1 },
    [
      "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
    ],
  ],
  [
    { ...spec, distinguisherMethod: { type: "ByMoon" } },
    [
      'spec.distinguisherMethod.type: Unsupported value: {"type":"ByMoon"}: supported values: "ByNamespace", "ByUser"',
    ],
  ],
  [
    { ...spec, rules: [{ subjects: rule.subjects }] },
    ["spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty"],
  ],
  [
    { ...spec, rules: [{ ...rule, subjects: [] }] },
    ["spec.rules[0].subjects: Required value: subjects must contain at least one value"],
  ],
  [
    { ...spec, rules: [{ ...rule, subjects: [{ kind: "User" }] }] },
    ["spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'"],
  ],
])("a flow schema: %j", (wrong, errors) => {
  expect(errorsOf(flowSchemas, { spec: wrong })).toEqual(errors);
});

const limited = (rest: object) => ({ type: "Limited", limited: rest });
const reject = { limitResponse: { type: "Reject" } };

test.each([
  [
    limited({ nominalConcurrencyShares: -1, ...reject }),
    ["spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer"],
  ],
  [
    limited({ lendablePercent: 101, ...reject }),
    ["spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive"],
  ],
  [
    limited({ limitResponse: { type: "Queue", queuing: { queues: 4, handSize: 8, queueLengthLimit: 1 } } }),
    ["spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"],
  ],
  [
    { type: "Exempt", limited: reject },
    [
      "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
      "spec.limited: Forbidden: must be nil if the type is not Limited",
    ],
  ],
])("a priority level: %j", (wrong, errors) => {
  const found = errorsOf(priorityLevelConfigurations, { spec: wrong });
  expect(found.map((e) => e.replaceAll("\\", ""))).toEqual(errors);
});

test("the two that must be stay as they are", () => {
  const [exempt] = mandatoryPriorityLevels;
  const changed = {
    type: "Limited",
    limited: { nominalConcurrencyShares: 1, lendablePercent: 0, ...reject },
  };
  expect(
    errorsOf(priorityLevelConfigurations, { metadata: { name: exempt!.name }, spec: changed }),
  ).not.toEqual([]);
});
