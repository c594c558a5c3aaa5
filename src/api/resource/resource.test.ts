import { describe, expect, test } from "vitest";
import { storedOf } from "../meta/define-version.ts";
import { cellsOf, changeErrorsOf, errorsOf, errorTexts, exampleNowMs, make } from "../testing/examples.ts";
import { deviceClasses } from "./device-class.ts";
import { deviceTaintRules } from "./device-taint-rule.ts";
import { resourceClaims, resourceClaimsV1beta1 } from "./resource-claim.ts";
import { resourceClaimTemplates } from "./resource-claim-template.ts";
import { resourcePoolStatusRequests } from "./resource-pool-status-request.ts";
import { resourceSlices, resourceSlicesV1beta1 } from "./resource-slice.ts";

const exactly = { deviceClassName: "gpu.example.com" };
const claim = (devices: object) => ({ spec: { devices } });

describe("claims", () => {
  const at = "spec.devices.requests[0]";
  test.each([
    [{}, []],
    [{ requests: [{ name: "a", exactly }] }, []],
    [
      { requests: [{ name: "a" }] },
      [`${at}: Required value: exactly one of \`exactly\` or \`firstAvailable\` is required`],
    ],
    [
      { requests: [{ name: "a", exactly, firstAvailable: [{ name: "b", ...exactly }] }] },
      [
        `${at}: Invalid value: null: exactly one of \`exactly\` or \`firstAvailable\` is required, but multiple fields are set`,
      ],
    ],
    [{ requests: [{ name: "a", exactly: {} }] }, [`${at}.exactly.deviceClassName: Required value`]],
    [
      { requests: [{ name: "a", exactly: { ...exactly, allocationMode: "All", count: 2 } }] },
      [`${at}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'`],
    ],
    [
      { requests: [{ name: "a", exactly: { ...exactly, allocationMode: "Some" } }] },
      [`${at}.exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"`],
    ],
    [
      { requests: [{ name: "a", exactly: { ...exactly, selectors: [{}] } }] },
      [`${at}.exactly.selectors[0].cel: Required value`],
    ],
    [
      {
        requests: [
          { name: "a", exactly: { ...exactly, selectors: [{ cel: { expression: "x".repeat(10_241) } }] } },
        ],
      },
      [`${at}.exactly.selectors[0].cel.expression: Too long: may not be more than 10240 bytes`],
    ],
    [
      {
        requests: [{ name: "a", exactly: { ...exactly, tolerations: [{ operator: "Exists", value: "b" }] } }],
      },
      [`${at}.exactly.tolerations[0].value: Invalid value: "b": must be empty for operator \`Exists\``],
    ],
    [
      {
        requests: [
          { name: "a", exactly },
          { name: "a", exactly },
        ],
      },
      ['spec.devices.requests[1]: Duplicate value: "a"'],
    ],
    [
      {
        requests: [{ name: "a", firstAvailable: [{ name: "b", ...exactly }] }],
        constraints: [{ requests: ["a/b"], matchAttribute: "x.y/numa" }],
      },
      [],
    ],
    [
      { constraints: [{ requests: ["z"], matchAttribute: "numa" }, {}] },
      [
        "spec.devices.constraints[0].requests[0]: Invalid value: \"z\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        'spec.devices.constraints[0].matchAttribute: Invalid value: "numa": a fully qualified name must be a domain and a name separated by a slash',
        'spec.devices.constraints[1]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set',
      ],
    ],
    [
      { config: [{}, { opaque: { driver: "a.b", parameters: [1] } }] },
      [
        "spec.devices.config[0].opaque: Required value",
        'spec.devices.config[1].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
      ],
    ],
    [
      { requests: Array.from({ length: 33 }, (_, i) => ({ name: `r${i}`, exactly })) },
      ["spec.devices.requests: Too many: 33: must have at most 32 items"],
    ],
  ])("%j", (devices, errors) => {
    expect(errorsOf(resourceClaims, claim(devices))).toEqual(errors);
    expect(errorsOf(resourceClaimTemplates, { spec: claim(devices) })).toEqual(
      errors.map((e) => `spec.${e}`),
    );
  });

  test("one device where nothing is said; for ever", () => {
    const made = make(resourceClaims, claim({ requests: [{ name: "a", exactly }] }));
    expect(made.spec.devices?.requests?.[0]?.exactly).toEqual({
      ...exactly,
      allocationMode: "ExactCount",
      count: 1,
    });
    expect(
      changeErrorsOf(resourceClaims, claim({}), claim({ requests: [{ name: "a", exactly }] }))[0],
    ).toMatch(/^spec: Invalid value: .*: field is immutable$/);
  });

  test("its state in the table", () => {
    expect(cellsOf(resourceClaims, {}).State).toBe("pending");
    const status = { allocation: {}, reservedFor: [{ resource: "pods", name: "p", uid: "u" }] };
    expect(cellsOf(resourceClaims, { status }).State).toBe("allocated,reserved");
  });
});

describe("the status of a claim", () => {
  const device = { driver: "a.b", pool: "p", device: "d" };
  const consumer = { resource: "pods", name: "p", uid: "u" };
  const result = { request: "a", ...device };
  const withStatus = (status: object, metadata: object = {}) =>
    make(resourceClaims, { metadata, ...claim({ requests: [{ name: "a", exactly }] }), status });
  const check = (status: object, before: object = {}, metadata: object = {}) =>
    errorTexts(resourceClaims.validateStatusUpdate(withStatus(status, metadata), withStatus(before)));
  const allocation = { devices: { results: [result] } };

  test.each([
    [{ allocation, reservedFor: [consumer], devices: [device] }, []],
    [
      { reservedFor: [consumer] },
      ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
    ],
    [
      { allocation, reservedFor: [consumer, { ...consumer, name: "" }] },
      ["status.reservedFor[1].name: Required value", 'status.reservedFor[1]: Duplicate value: "u"'],
    ],
    [
      { devices: [device] },
      [
        'status.devices[0]: Invalid value: {"driver":"a.b","pool":"p","device":"d"}: must be an allocated device in the claim',
      ],
    ],
    [
      { allocation: { devices: { results: [{ ...result, request: "z", pool: "" }] } } },
      [
        "status.allocation.devices.results[0].request: Invalid value: \"z\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        "status.allocation.devices.results[0].pool: Required value",
      ],
    ],
    [
      {
        allocation: {
          devices: { config: [{ source: "Elsewhere", opaque: { driver: "a.b", parameters: {} } }] },
        },
      },
      [
        'status.allocation.devices.config[0].source: Unsupported value: "Elsewhere": supported values: "FromClaim", "FromClass"',
      ],
    ],
    [
      { allocation, devices: [{ ...device, networkData: { ips: ["10.0.0.1"] } }] },
      [
        'status.devices[0].networkData.ips[0]: Invalid value: "10.0.0.1": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      ],
    ],
  ])("%j", (status, errors) => expect(check(status)).toEqual(errors));

  test("an allocation stays as it is; what is being deleted gets no new user", () => {
    expect(check({ allocation: { devices: {} } }, { allocation })[0]).toMatch(
      /^status\.allocation: .*immutable$/,
    );
    const metadata = { deletionTimestamp: "2026-01-01T00:00:00Z" };
    expect(check({ allocation, reservedFor: [consumer] }, { allocation }, metadata)).toEqual([
      "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
    ]);
  });

  test("reports about devices go when the devices do", () => {
    const next = withStatus({ devices: [device] });
    resourceClaims.onStatusUpdate(next, withStatus({ allocation, devices: [device] }), { nowMs: 0 });
    expect(next.status.devices).toBeUndefined();
  });
});

describe("slices", () => {
  const spec = { driver: "a.b", nodeName: "n", pool: { name: "n", generation: 1, resourceSliceCount: 1 } };
  const device = (more: object) => ({ spec: { ...spec, devices: [{ name: "d", ...more }] } });
  const at = "spec.devices[0]";
  const range = (validRange: object, given = "2") => ({
    allowMultipleAllocations: true,
    capacity: { memory: { value: "10", requestPolicy: { default: given, validRange } } },
  });
  const policyAt = `${at}.capacity[memory].requestPolicy`;
  test.each([
    [{ spec }, []],
    [
      { spec: { driver: "a.b", pool: { name: "" } } },
      [
        "spec.pool.name: Required value",
        "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
      ],
    ],
    [
      { spec: { ...spec, allNodes: true } },
      [
        'spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
      ],
    ],
    [device({ attributes: { model: { string: "x" }, "dra.io/v": { version: "1.0.0" } } }), []],
    [
      device({ attributes: { a: {}, b: { int: 1, bool: true }, c: { version: "1" } } }),
      [
        `${at}.attributes[a]: Invalid value: "": exactly one value must be specified`,
        `${at}.attributes[b]: Invalid value: {"int":1,"bool":true}: exactly one value must be specified`,
        `${at}.attributes[c].version: Invalid value: "1": must be a string compatible with semver.org spec 2.0.0`,
      ],
    ],
    [
      device({ attributes: { "a/b/c": { int: 1 } } }),
      [`${at}.attributes: Invalid value: "a/b/c": must not contain more than one slash`],
    ],
    [
      device({ capacity: { memory: { value: "1", requestPolicy: {} } } }),
      [`${policyAt}: Forbidden: allowMultipleAllocations must be true`],
    ],
    [device(range({ min: "1", max: "10", step: "1" })), []],
    [
      device(range({ min: "1", max: "20", step: "2" })),
      [
        `${policyAt}.validRange.max: Invalid value: "20": max is larger than capacity value: 10`,
        `${policyAt}.validRange.step: Invalid value: "2": value is not a multiple of a given step (2) from (1)`,
        `${policyAt}.validRange.step: Invalid value: "20": value is not a multiple of a given step (2) from (1)`,
      ],
    ],
    [
      device(range({ min: "1", step: "0" })),
      [`${policyAt}.validRange.step: Invalid value: "0": must be greater than zero`],
    ],
    [
      device({ taints: [{ key: "a", effect: "Evict" }, { key: "a" }] }),
      [
        `${at}.taints[0].effect: Unsupported value: "Evict": supported values: "NoExecute", "NoSchedule", "None"`,
        `${at}.taints[1].effect: Required value`,
      ],
    ],
    [
      device({ nodeName: "n" }),
      [
        `${at}: Invalid value: null: \`nodeName\`, \`nodeSelector\` and \`allNodes\` can only be set if \`perDeviceNodeSelection\` is set to true in the ResourceSlice spec`,
      ],
    ],
    [
      device({ bindingConditions: ["a"] }),
      [
        `${at}.bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions`,
      ],
    ],
    [
      device({ nodeAllocatableResourceMappings: { gpu: { capacityKey: "x" } } }),
      [
        `${at}.nodeAllocatableResourceMappings[gpu]: Invalid value: "gpu": must be a node allocatable resource name`,
        `${at}.nodeAllocatableResourceMappings[gpu].capacityKey: Not found: "x"`,
      ],
    ],
    [
      { spec: { ...spec, sharedCounters: [{ name: "c", counters: {} }] } },
      ["spec.sharedCounters[0].counters: Required value"],
    ],
    [
      { spec: { ...spec, devices: Array.from({ length: 129 }, (_, i) => ({ name: `d${i}` })) } },
      ["spec.devices: Too many: 129: must have at most 128 items"],
    ],
  ])("%j", (body, errors) => expect(errorsOf(resourceSlices, body)).toEqual(errors));

  test("driver, pool and node are for ever; taints get their time", () => {
    const moved = { spec: { ...spec, nodeName: "m" } };
    expect(changeErrorsOf(resourceSlices, { spec }, moved)).toEqual([
      'spec.nodeName: Invalid value: "m": field is immutable',
    ]);
    const slice = make(resourceSlices, device({ taints: [{ key: "a", effect: "NoSchedule" }] }));
    resourceSlices.onCreate(slice, { nowMs: exampleNowMs });
    expect(slice.spec.devices?.[0]?.taints?.[0]?.timeAdded).toBe("2026-01-02T03:04:05Z");
  });
});

describe("v1beta1", () => {
  test("a claim's requests are flat there, and come back as they were", () => {
    const request = { name: "a", deviceClassName: "c", selectors: [{ cel: { expression: "true" } }] };
    const old = make(resourceClaimsV1beta1, claim({ requests: [request] }));
    const stored = resourceClaimsV1beta1.storedAs!.toStored(structuredClone(old));
    expect(stored).toMatchObject({
      apiVersion: "resource.k8s.io/v1",
      spec: {
        devices: {
          requests: [
            { name: "a", exactly: { deviceClassName: "c", allocationMode: "ExactCount", count: 1 } },
          ],
        },
      },
    });
    expect(resourceClaimsV1beta1.storedAs!.fromStored(stored)).toEqual(old);
    expect(errorsOf(resourceClaimsV1beta1, claim({ requests: [{ name: "a" }] }))).toEqual([
      "spec.devices.requests[0].exactly.deviceClassName: Required value",
    ]);
    expect(storedOf(resourceClaimsV1beta1 as never)).toBe(resourceClaims);
  });

  test("a slice's devices are basic there", () => {
    const basic = { attributes: { model: { string: "x" } } };
    const body = {
      spec: {
        driver: "a.b",
        allNodes: true,
        pool: { name: "p", generation: 0, resourceSliceCount: 1 },
        devices: [{ name: "d", basic }],
      },
    };
    const old = make(resourceSlicesV1beta1, body);
    const stored = resourceSlicesV1beta1.storedAs!.toStored(structuredClone(old));
    expect(stored).toMatchObject({ spec: { devices: [{ name: "d", ...basic }] } });
    expect(resourceSlicesV1beta1.storedAs!.fromStored(stored)).toEqual(old);
    expect(resourceSlicesV1beta1.selectableFields["spec.driver"]!(old)).toBe("a.b");
  });
});

test("device classes name extended resources of others", () => {
  const of = (extendedResourceName: string) => errorsOf(deviceClasses, { spec: { extendedResourceName } });
  expect(of("example.com/gpu")).toEqual([]);
  for (const name of ["gpu", "kubernetes.io/gpu", "requests.example.com/gpu"])
    expect(of(name)).toEqual([
      `spec.extendedResourceName: Invalid value: ${JSON.stringify(name)}: must be a valid extended resource name`,
    ]);
});

test("a taint's time is that of its effect", () => {
  const rule = (effect: string) =>
    make(deviceTaintRules, { spec: { taint: { key: "a", effect, timeAdded: "2025-01-01T00:00:00Z" } } });
  const next = rule("NoExecute");
  deviceTaintRules.onUpdate(next, rule("NoSchedule"), { nowMs: exampleNowMs });
  expect(next.spec.taint.timeAdded).toBe("2026-01-02T03:04:05Z");
  expect(errorsOf(deviceTaintRules, {})).toContain("spec.taint.effect: Required value");
});

test("a pool's status is asked for once, and answered once", () => {
  expect(errorsOf(resourcePoolStatusRequests, { spec: { limit: 1001 } })).toEqual([
    "spec.driver: Required value: driver name is required",
    "spec.limit: Invalid value: 1001: must not exceed 1000",
  ]);
  const pools = [{ driver: "a.b", poolName: "p", generation: 1, totalDevices: -1 }];
  const request = make(resourcePoolStatusRequests, {
    spec: { driver: "a.b" },
    status: { poolCount: 1, pools },
  });
  const before = make(resourcePoolStatusRequests, { spec: { driver: "a.b" } });
  expect(errorTexts(resourcePoolStatusRequests.validateStatusUpdate(request, before))).toEqual([
    "status.pools[0].totalDevices: Invalid value: -1: must be greater than or equal to 0",
  ]);
  const changed = { ...request, status: { poolCount: 2 } };
  expect(errorTexts(resourcePoolStatusRequests.validateStatusUpdate(changed, request))[0]).toContain(
    "immutable",
  );
});
