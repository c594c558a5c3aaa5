/** What may change of a pod: its amounts, its gates, its ephemeral containers and its status. */
import { expect, test } from "vitest";
import type { corev1 } from "../../generated/types/index.ts";
import { changeErrorsOf, errorsOf, errorTexts, make } from "../../testing/examples.ts";
import { pods } from "../pod.ts";
import { keepAllButResources, validateResize } from "./resize.ts";
import { keepAllButEphemeralContainers, validateEphemeralContainersUpdate } from "./validate-pod.ts";

const main = { name: "main", image: "nginx" };
type Amounts = corev1.ResourceRequirements;

function pod(spec: object, rest: object = {}): corev1.Pod {
  return make(pods, { spec: { containers: [main], ...spec }, ...rest });
}

function resized(before: Amounts, after: Amounts, spec: object = {}): string[] {
  const old = pod({ containers: [{ ...main, resources: before }], ...spec });
  const object = pod({ containers: [{ ...main, image: "other", resources: after }], ...spec });
  keepAllButResources(object, old);
  expect(object.spec.containers[0]!.image).toBe("nginx");
  return errorTexts(validateResize(object, old));
}

test.each<[Amounts, Amounts, string[]]>([
  [{ requests: { cpu: "1" } }, { requests: { cpu: "2" } }, []],
  [{ requests: { cpu: "1" } }, { requests: { cpu: "1", memory: "1Gi" } }, []],
  [
    { requests: { cpu: "1" } },
    {},
    [
      'spec: Invalid value: "": Pod QOS Class may not change as a result of resizing',
      "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
    ],
  ],
  [
    { requests: { cpu: "1", "ephemeral-storage": "1Gi" } },
    { requests: { cpu: "1", "ephemeral-storage": "2Gi" } },
    ["spec: Forbidden: only cpu and memory resources are mutable"],
  ],
  [
    { requests: { cpu: "1" } },
    { requests: { cpu: "2" }, limits: { cpu: "1", memory: "1Gi" } },
    [
      'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ],
  ],
])("amounts from %j to %j", (before, after, errors) => {
  expect(resized(before, after)).toEqual(errors);
});

test("pods of a node's own files and of Windows keep their amounts", () => {
  expect(
    resized({ requests: { cpu: "1" } }, { requests: { cpu: "2" } }, { os: { name: "windows" } }),
  ).toEqual([": Forbidden: windows pods cannot be resized"]);
});

test("ephemeral containers are added, and stay", () => {
  const look = { name: "look", image: "tools" };
  const old = pod({});
  const object = pod({ ephemeralContainers: [look], nodeName: "elsewhere" });
  keepAllButEphemeralContainers(object, old);
  expect(object.spec.nodeName).toBeUndefined();
  expect(errorTexts(validateEphemeralContainersUpdate(object, old))).toEqual([]);
  expect(errorTexts(validateEphemeralContainersUpdate(old, object))).toEqual([
    'spec.ephemeralContainers: Forbidden: existing ephemeral containers "look" may not be removed\n',
  ]);
  const twice = pod({ ephemeralContainers: [{ ...look, name: "main", ports: [{ containerPort: 1 }] }] });
  expect(errorTexts(validateEphemeralContainersUpdate(twice, old))).toEqual([
    "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
    'spec.ephemeralContainers[0].name: Duplicate value: "main"',
  ]);
  expect(errorsOf(pods, { spec: { containers: [main], ephemeralContainers: [look] } })).toEqual([
    "spec.ephemeralContainers: Forbidden: cannot be set on create",
  ]);
});

const gates = [{ name: "a.b/c" }];

test("gates open and never close; behind them a pod may still narrow its nodes", () => {
  const gated = { spec: { containers: [main], schedulingGates: gates } };
  const open = { spec: { containers: [main] } };
  expect(changeErrorsOf(pods, gated, open)).toEqual([]);
  expect(changeErrorsOf(pods, open, gated)[0]).toContain(
    "only deletion is allowed, but found new scheduling gate 'a.b/c'",
  );
  const narrowed = { spec: { ...gated.spec, nodeSelector: { zone: "a" } } };
  expect(changeErrorsOf(pods, gated, narrowed)).toEqual([]);
  expect(changeErrorsOf(pods, narrowed, gated)[0]).toContain("spec.nodeSelector");
  expect(changeErrorsOf(pods, open, { spec: { ...open.spec, nodeSelector: { zone: "a" } } })).not.toEqual([]);
});

test("a pod's own amounts cover its containers'", () => {
  const spec = (resources: Amounts, own: Amounts) => ({
    resources,
    containers: [{ ...main, resources: own }],
  });
  const errors = (resources: Amounts, own: Amounts = {}) =>
    errorTexts(pods.validate(pod(spec(resources, own))));
  expect(errors({ requests: { cpu: "2" }, limits: { cpu: "3" } }, { requests: { cpu: "1" } })).toEqual([]);
  expect(errors({ requests: { cpu: "1" } }, { requests: { cpu: "2" } })).toEqual([
    'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2',
  ]);
  expect(errors({ limits: { "example.com/gpu": "1" } })[0]).toContain("spec.resources.limits");
});

test("a status keeps the node that was promised, and names its addresses once", () => {
  const old = pod({ nodeName: "n" }, { status: { phase: "Running" } });
  const told = (status: object) =>
    errorTexts(
      pods.validateStatusUpdate({ ...old, status: { ...old.status, ...status } } as corev1.Pod, old),
    );
  expect(told({ podIPs: [{ ip: "10.0.0.1" }] })).toEqual([]);
  expect(told({ podIPs: [{ ip: "nowhere" }] })[0]).toContain('status.podIPs[0]: Invalid value: "nowhere"');
  expect(told({ podIPs: [{ ip: "10.0.0.1" }, { ip: "10.0.0.2" }] })[0]).toContain(
    "may specify no more than one IP for each IP family",
  );
  expect(told({ nominatedNodeName: "A_B" })[0]).toContain("status.nominatedNodeName");
});
