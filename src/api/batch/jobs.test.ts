import { expect, test } from "vitest";
import type { batchv1 } from "../generated/types/index.ts";
import { errorTexts, make } from "../testing/examples.ts";
import { jobs } from "./job.ts";

const container = { name: "c", image: "i" };
const template = { spec: { containers: [container], restartPolicy: "Never" } };

function job(spec: object): batchv1.Job {
  const object = make(jobs, { spec: { template, ...spec } });
  jobs.onCreate(object, { nowMs: 0 });
  return object;
}

function said(spec: object, old?: object): string[] {
  return errorTexts(old ? jobs.validateUpdate(job(spec), job(old)) : jobs.validate(job(spec)));
}

const failing = (rule: object) => ({ podFailurePolicy: { rules: [rule] } });
const codes = (onExitCodes: object) => failing({ action: "FailJob", onExitCodes });
const inOrder = { operator: "In", values: [1] };
const atRule = "spec.podFailurePolicy.rules[0]";

test.each<[object, string[]]>([
  [codes(inOrder), []],
  [
    codes({ operator: "In", values: [3, 0, 3] }),
    [
      `${atRule}.onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator`,
      `${atRule}.onExitCodes.values[2]: Duplicate value: 3`,
      `${atRule}.onExitCodes.values: Invalid value: [3,0,3]: must be ordered`,
    ],
  ],
  [codes({ values: [1] }), [`${atRule}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]`]],
  [
    codes({ ...inOrder, containerName: "other" }),
    [
      `${atRule}.onExitCodes.containerName: Invalid value: "other": must be one of the container or initContainer names in the pod template`,
    ],
  ],
  [
    failing({ action: "FailIndex", onExitCodes: inOrder }),
    [`${atRule}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set`],
  ],
  [
    failing({ action: "Shrug", onPodConditions: [{ type: "Ready", status: "Perhaps" }] }),
    [
      `${atRule}.action: Unsupported value: "Shrug": supported values: "Count", "FailIndex", "FailJob", "Ignore"`,
      `${atRule}.onPodConditions[0].status: Unsupported value: "Perhaps": supported values: "False", "True", "Unknown"`,
    ],
  ],
  [
    failing({ action: "Count" }),
    [`${atRule}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required`],
  ],
  [
    { ...codes(inOrder), podReplacementPolicy: "TerminatingOrFailed" },
    ['spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"'],
  ],
  [
    { ...codes(inOrder), template: { spec: { ...template.spec, restartPolicy: "OnFailure" } } },
    [
      'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified',
    ],
  ],
])("failure policy %#", (spec, errors) => {
  expect(said(spec)).toEqual(errors);
});

const indexed = { completionMode: "Indexed", completions: 5, parallelism: 5 };
const winning = (rule: object) => ({ ...indexed, successPolicy: { rules: [rule] } });
const atSuccess = "spec.successPolicy.rules[0]";
const unread = (text: string, problem: string) =>
  `${atSuccess}.succeededIndexes: Invalid value: ${JSON.stringify(text)}: error parsing succeededIndexes: ${problem}`;

test.each<[object, string[]]>([
  [winning({ succeededIndexes: "0,2-4", succeededCount: 4 }), []],
  [
    winning({ succeededIndexes: "0,2-3", succeededCount: 4 }),
    [
      `${atSuccess}.succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of indexes in the specified succeededIndexes field)`,
    ],
  ],
  [
    winning({ succeededCount: 6 }),
    [
      `${atSuccess}.succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)`,
    ],
  ],
  [
    winning({}),
    [`${atSuccess}: Required value: at least one of succeededCount or succeededIndexes must be specified`],
  ],
  [winning({ succeededIndexes: "3,1" }), [unread("3,1", "non-increasing order, previous: 3, current: 1")]],
  [winning({ succeededIndexes: "5" }), [unread("5", 'too large index: "5"')]],
  [
    winning({ succeededIndexes: "1-2-3" }),
    [
      unread(
        "1-2-3",
        "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'",
      ),
    ],
  ],
  [winning({ succeededIndexes: "a" }), [unread("a", 'cannot convert string to integer for index: "a"')]],
  [
    { ...indexed, successPolicy: { rules: [] } },
    [
      "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified",
    ],
  ],
  [
    { successPolicy: { rules: [{ succeededCount: 1 }] } },
    ['spec.successPolicy: Invalid value: {"rules":[{"succeededCount":1}]}: requires indexed completion mode'],
  ],
])("success policy %#", (spec, errors) => {
  expect(said(spec)).toEqual(errors);
});

test.each<[object, string[]]>([
  [
    { maxFailedIndexes: 1 },
    [
      "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
      "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
    ],
  ],
  [
    { ...indexed, parallelism: 100_001 },
    [
      "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
    ],
  ],
  [
    { ...indexed, backoffLimitPerIndex: 1, maxFailedIndexes: 6 },
    ["spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions"],
  ],
  [
    { ...indexed, completions: 100_001, backoffLimitPerIndex: 1 },
    ["spec.maxFailedIndexes: Required value: must be specified when completions is above 100000"],
  ],
  [
    { managedBy: "somebody" },
    ['spec.managedBy: Invalid value: "somebody": must be a domain-prefixed path (such as "acme.io/foo")'],
  ],
  [
    { completionMode: "Sorted" },
    ['spec.completionMode: Unsupported value: "Sorted": supported values: "NonIndexed", "Indexed"'],
  ],
])("numbers and modes %#", (spec, errors) => {
  expect(said(spec)).toEqual(errors);
});

test("an indexed job grows with its parallelism, and policies stay", () => {
  expect(said({ ...indexed, completions: 7, parallelism: 7 }, indexed)).toEqual([]);
  expect(said({ ...indexed, completions: 7 }, indexed)).toEqual([
    "spec.completions: Invalid value: 7: can only be modified in tandem with spec.parallelism",
  ]);
  expect(said(indexed, winning({ succeededCount: 1 }))).toEqual([
    "spec.successPolicy: Invalid value: null: field is immutable",
  ]);
});

const templateWith = (spec: object, resources: object = {}) => ({
  spec: { ...template.spec, ...spec, containers: [{ ...container, resources }] },
});
const changed = {
  suspend: true,
  template: templateWith({ nodeSelector: { zone: "a" } }, { requests: { cpu: "2" } }),
};
const startTime = "2026-01-01T00:00:00Z";
const suspendedCondition = { type: "Suspended", status: "True" };

test.each<[string, object, boolean]>([
  ["runs", { suspend: false }, false],
  ["has never started", { suspend: true }, true],
  ["was suspended in its course", { suspend: true, startTime, conditions: [suspendedCondition] }, true],
  ["was started, and is not known to be suspended", { suspend: true, startTime }, false],
  ["has pods yet", { suspend: true, active: 1 }, false],
])("where pods go and what they ask for may change of a job that %s: %#", (_, given, mayChange) => {
  const { suspend, ...status } = given as { suspend: boolean };
  const old = { ...job({ suspend, template: templateWith({}) }), status };
  const errors = (spec: object) => errorTexts(jobs.validateUpdate(job(spec), old as never));
  expect(errors(changed).length === 0).toBe(mayChange);
  const other = { ...changed, template: templateWith({ hostNetwork: true }) };
  expect(errors(other).join()).toMatch(/spec\.template: Invalid value: .*field is immutable/);
});
