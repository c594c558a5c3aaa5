import { describe, expect, test } from "vitest";
import { changeErrorsOf, errorsOf, errorTexts, make } from "../testing/examples.ts";
import { podGroups } from "./pod-group.ts";
import { workloads } from "./workload.ts";

const schedulingPolicy = { basic: {} };

describe("pod groups", () => {
  test.each([
    [{ schedulingPolicy }, []],
    [{}, ['spec.schedulingPolicy: Invalid value: "": must specify one of: `basic`, `gang`']],
    [
      { schedulingPolicy: { basic: {}, gang: { minCount: 2 } } },
      ['spec.schedulingPolicy: Invalid value: "{basic, gang}": must specify exactly one of: `basic`, `gang`'],
    ],
    [{ schedulingPolicy: { gang: {} } }, ["spec.schedulingPolicy.gang.minCount: Required value"]],
    [
      { schedulingPolicy: { gang: { minCount: -1 } } },
      ["spec.schedulingPolicy.gang.minCount: Invalid value: -1: must be greater than or equal to 1"],
    ],
    [
      { schedulingPolicy, podGroupTemplateRef: { workload: { workloadName: "w" } } },
      ["spec.podGroupTemplateRef.workload.podGroupTemplateName: Required value"],
    ],
    [
      { schedulingPolicy, disruptionMode: "Node", priority: 2_000_000_000 },
      [
        'spec.disruptionMode: Unsupported value: "Node": supported values: "Pod", "PodGroup"',
        "spec.priority: Invalid value: 2000000000: must be less than or equal to 1000000000",
      ],
    ],
    [
      { schedulingPolicy, resourceClaims: [{ name: "a", resourceClaimName: "c" }, { name: "a" }] },
      [
        'spec.resourceClaims[1]: Invalid value: "": must specify one of: `resourceClaimName`, `resourceClaimTemplateName`',
        'spec.resourceClaims[1]: Duplicate value: "a"',
      ],
    ],
    [
      { schedulingPolicy, schedulingConstraints: { topology: [{ key: "a" }, { key: "b" }] } },
      ["spec.schedulingConstraints.topology: Too many: 2: must have at most 1 items"],
    ],
  ])("%j", (spec, errors) => expect(errorsOf(podGroups, { spec })).toEqual(errors));

  test("nothing of it changes; its status names its own claims", () => {
    const after = { spec: { schedulingPolicy: { gang: { minCount: 3 } }, priority: 5 } };
    expect(changeErrorsOf(podGroups, { spec: { schedulingPolicy } }, after)).toEqual([
      'spec.schedulingPolicy: Invalid value: {"gang":{"minCount":3}}: field is immutable',
      "spec.priority: Invalid value: 5: field is immutable",
    ]);
    const group = make(podGroups, {
      spec: { schedulingPolicy },
      status: { resourceClaimStatuses: [{ name: "x" }], conditions: [{ type: "A", status: "Maybe" }] },
    });
    expect(errorTexts(podGroups.validateStatusUpdate(group, group))).toEqual([
      'status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
      "status.conditions[0].lastTransitionTime: Required value",
      "status.conditions[0].reason: Required value",
      'status.resourceClaimStatuses[0].name: Invalid value: "x": must match the name of an entry in `spec.resourceClaims`',
    ]);
  });
});

test("workloads have templates with names of their own, for ever", () => {
  expect(errorsOf(workloads, {})).toEqual(["spec.podGroupTemplates: Required value"]);
  const template = { name: "a", schedulingPolicy };
  const body = (...podGroupTemplates: object[]) => ({ spec: { podGroupTemplates } });
  expect(errorsOf(workloads, body(template, template, { schedulingPolicy }))).toEqual([
    "spec.podGroupTemplates[2].name: Required value",
    'spec.podGroupTemplates[1]: Duplicate value: "a"',
  ]);
  expect(errorsOf(workloads, body(...Array(9).fill(template)))).toEqual([
    "spec.podGroupTemplates: Too many: 9: must have at most 8 items",
  ]);
  expect(
    errorsOf(workloads, { spec: { controllerRef: { name: "a/b" }, podGroupTemplates: [template] } }),
  ).toEqual([
    "spec.controllerRef.kind: Required value",
    "spec.controllerRef.name: Invalid value: \"a/b\": may not contain '/'",
  ]);
  expect(changeErrorsOf(workloads, body(template), body({ ...template, name: "b" }))).toHaveLength(1);
});
