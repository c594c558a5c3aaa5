import { describe, expect, test } from "vitest";
import { cellsOf, changeErrorsOf, errorsOf, make } from "../testing/examples.ts";
import { csiDrivers } from "./csi-driver.ts";
import { csiNodes } from "./csi-node.ts";
import { csiStorageCapacities } from "./csi-storage-capacity.ts";
import { storageClasses } from "./storage-class.ts";
import { volumeAttachments } from "./volume-attachment.ts";
import { volumeAttributesClasses } from "./volume-attributes-class.ts";

const provisioner = "example.com/disk";

describe("storage classes", () => {
  const topology = (...keys: string[]) => ({
    matchLabelExpressions: keys.map((key) => ({ key, values: ["a"] })),
  });
  test.each([
    [{ provisioner }, []],
    [{}, ["provisioner: Required value"]],
    [
      { provisioner, reclaimPolicy: "Recycle", volumeBindingMode: "Later" },
      [
        'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
        'volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"',
      ],
    ],
    [{ provisioner, parameters: { "": "a" } }, ['parameters: Invalid value: "": field can not be empty.']],
    [
      { provisioner, parameters: { a: "x".repeat(256 * 1024) } },
      ["parameters: Too long: may not be more than 262144 bytes"],
    ],
    [
      {
        provisioner,
        allowedTopologies: [topology("zone", "zone"), { matchLabelExpressions: [{ key: "k" }] }],
      },
      [
        'allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "zone"',
        "allowedTopologies[1].matchLabelExpressions[0].values: Required value",
      ],
    ],
    [
      { provisioner, allowedTopologies: [topology("zone"), topology("zone")] },
      ['allowedTopologies[1].matchLabelExpressions: Duplicate value: ""'],
    ],
  ])("%j", (body, errors) => expect(errorsOf(storageClasses, body)).toEqual(errors));

  test("what volumes were made by cannot change", () => {
    const after = {
      provisioner: "example.com/other",
      parameters: { a: "1" },
      reclaimPolicy: "Retain",
      volumeBindingMode: "WaitForFirstConsumer",
    };
    expect(changeErrorsOf(storageClasses, { provisioner }, after)).toEqual([
      "parameters: Forbidden: updates to parameters are forbidden.",
      "provisioner: Forbidden: updates to provisioner are forbidden.",
      "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
      'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
    ]);
    expect(
      changeErrorsOf(storageClasses, { provisioner }, { provisioner, allowVolumeExpansion: true }),
    ).toEqual([]);
  });

  test("the default one is marked, old labels are warned of", () => {
    const metadata = { annotations: { "storageclass.kubernetes.io/is-default-class": "true" } };
    expect(cellsOf(storageClasses, { metadata, provisioner })).toMatchObject({
      Name: "x (default)",
      ReclaimPolicy: "Delete",
      AllowVolumeExpansion: false,
    });
    const key = "failure-domain.beta.kubernetes.io/zone";
    expect(
      storageClasses.warnings!(make(storageClasses, { allowedTopologies: [topology(key)] }), undefined),
    ).toEqual([
      'allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    ]);
  });
});

describe("attachments", () => {
  const spec = { attacher: "example.com", nodeName: "n", source: { persistentVolumeName: "v" } };
  const rule = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  test.each([
    [{ spec }, []],
    [{ spec: { ...spec, source: {} } }, [`spec.source: Required value: ${rule}`]],
    [
      { spec: { ...spec, source: { persistentVolumeName: "v", inlineVolumeSpec: {} } } },
      [`spec.source: Forbidden: ${rule}`],
    ],
    [
      { spec, status: { attached: true, attachError: { errorCode: -1 } } },
      ["status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
    ],
  ])("%j", (body, errors) => expect(errorsOf(volumeAttachments, body)).toEqual(errors));

  test("the spec is for ever, a client sets no status", () => {
    const moved = { spec: { ...spec, nodeName: "m" } };
    expect(changeErrorsOf(volumeAttachments, { spec }, moved)[0]).toContain("field is immutable");
    const attachment = make(volumeAttachments, { spec, status: { attached: true } });
    volumeAttachments.onCreate(attachment, { nowMs: 0 });
    expect(attachment.status).toEqual({ attached: false });
  });
});

describe("CSI", () => {
  test("a driver's defaults", () => {
    expect(make(csiDrivers, {}).spec).toEqual({
      attachRequired: true,
      fsGroupPolicy: "ReadWriteOnceWithFSType",
      podInfoOnMount: false,
      requiresRepublish: false,
      seLinuxMount: false,
      storageCapacity: false,
      volumeLifecycleModes: ["Persistent"],
    });
  });

  test.each([
    [
      { fsGroupPolicy: "Some" },
      'spec.fsGroupPolicy: Unsupported value: "Some": supported values: "File", "None", "ReadWriteOnceWithFSType"',
    ],
    [
      { tokenRequests: [{ audience: "a" }, { audience: "a" }] },
      'spec.tokenRequests[1].audience: Duplicate value: "a"',
    ],
    [
      { tokenRequests: [{ audience: "a", expirationSeconds: 1 }] },
      "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
    ],
    [
      { volumeLifecycleModes: ["Eternal"] },
      'spec.volumeLifecycleModes: Unsupported value: "Eternal": supported values: "Persistent", "Ephemeral"',
    ],
    [
      { nodeAllocatableUpdatePeriodSeconds: 9 },
      "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
    ],
  ])("a driver refuses %j", (spec, error) => expect(errorsOf(csiDrivers, { spec })).toEqual([error]));

  test("how a driver attaches is for ever", () => {
    expect(changeErrorsOf(csiDrivers, {}, { spec: { attachRequired: false } })).toEqual([
      "spec.attachedRequired: Invalid value: false: field is immutable",
    ]);
  });

  test("a node's drivers: unique, and fixed but for their volumes", () => {
    const drivers = (...list: object[]) => ({ spec: { drivers: list } });
    const driver = { name: "a.b", nodeID: "n", topologyKeys: ["zone"] };
    expect(
      errorsOf(csiNodes, drivers(driver, { ...driver, nodeID: "", allocatable: { count: -1 } })),
    ).toEqual([
      "spec.drivers[1].nodeID: Required value",
      "spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
      'spec.drivers[1].name: Duplicate value: "a.b"',
    ]);
    expect(
      changeErrorsOf(csiNodes, drivers(driver), drivers({ ...driver, allocatable: { count: 3 } })),
    ).toEqual([]);
    expect(changeErrorsOf(csiNodes, drivers(driver), drivers({ ...driver, nodeID: "m" }))[0]).toContain(
      "field is immutable",
    );
    expect(changeErrorsOf(csiNodes, drivers(driver), drivers())).toEqual([]);
  });

  test("capacities", () => {
    expect(errorsOf(csiStorageCapacities, { storageClassName: "a", capacity: "-1" })).toEqual([
      'capacity: Invalid value: "-1": must be greater than or equal to 0',
    ]);
    expect(
      changeErrorsOf(csiStorageCapacities, { storageClassName: "a" }, { storageClassName: "b" }),
    ).toEqual(['storageClassName: Invalid value: "b": field is immutable']);
    expect(cellsOf(csiStorageCapacities, { storageClassName: "a" }).Capacity).toBe("<unset>");
  });
});

test("volume attributes have parameters, which are for ever", () => {
  expect(errorsOf(volumeAttributesClasses, {})).toEqual([
    "driverName: Required value",
    "parameters: Required value: must contain at least one key/value pair",
  ]);
  const body = (iops: string) => ({ driverName: "a.b", parameters: { iops } });
  expect(changeErrorsOf(volumeAttributesClasses, body("1"), body("2"))).toEqual([
    "parameters: Forbidden: updates to parameters are forbidden.",
  ]);
});
