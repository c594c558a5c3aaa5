/** Persistent volumes and the claims on them. */
import { expect, test } from "vitest";
import { changeErrorsOf, errorsOf, errorTexts, make } from "../testing/examples.ts";
import { persistentVolumes } from "./persistent-volume.ts";
import { persistentVolumeClaims } from "./persistent-volume-claim.ts";

const volume = { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/data" } };

test("a volume is kept by default, a claim is of a file system", () => {
  expect(make(persistentVolumes, { spec: volume })).toMatchObject({
    spec: { persistentVolumeReclaimPolicy: "Retain", volumeMode: "Filesystem", hostPath: { type: "" } },
    status: { phase: "Pending" },
  });
  expect(make(persistentVolumeClaims, { spec: {} })).toMatchObject({
    spec: { volumeMode: "Filesystem" },
    status: { phase: "Pending" },
  });
});

test.each([
  [{ ...volume, hostPath: null }, ["spec: Required value: must specify a volume type"]],
  [
    { ...volume, nfs: { server: "s", path: "/p" } },
    ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
  ],
  [{ ...volume, accessModes: [] }, ["spec.accessModes: Required value"]],
  [
    { ...volume, accessModes: ["Sometimes"] },
    [
      'spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
    ],
  ],
  [
    { ...volume, accessModes: ["ReadWriteOnce", "ReadWriteOncePod"] },
    ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
  ],
  [
    { ...volume, capacity: { storage: "0" } },
    ['spec.capacity[storage]: Invalid value: "0": must be greater than zero'],
  ],
  [
    { ...volume, capacity: { cpu: "1" } },
    ['spec.capacity: Unsupported value: {"cpu":"1"}: supported values: "storage"'],
  ],
  [
    { ...volume, persistentVolumeReclaimPolicy: "Burn" },
    [
      'spec.persistentVolumeReclaimPolicy: Unsupported value: "Burn": supported values: "Delete", "Recycle", "Retain"',
    ],
  ],
  [
    { ...volume, hostPath: { path: "/a/../b" } },
    ["spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
  ],
  [
    { ...volume, hostPath: null, local: { path: "/disk" } },
    ["spec.nodeAffinity: Required value: Local volume requires node affinity"],
  ],
  [{ ...volume, hostPath: null, csi: { driver: "d" } }, ["spec.csi.volumeHandle: Required value"]],
])("a volume: %j", (spec, errors) => {
  expect(errorsOf(persistentVolumes, { spec })).toEqual(errors);
});

test("a volume keeps its source", () => {
  const [error] = changeErrorsOf(
    persistentVolumes,
    { spec: volume },
    { spec: { ...volume, hostPath: { path: "/other" } } },
  );
  expect(error).toContain(
    "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
  );
});

const claim = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };

test.each([
  [{ ...claim, accessModes: [] }, ["spec.accessModes: Required value: at least 1 access mode is required"]],
  [{ ...claim, resources: {} }, ["spec.resources[storage]: Required value"]],
  [
    { ...claim, resources: { requests: { storage: "-1" } } },
    ['spec.resources[storage]: Invalid value: "-1": must be greater than zero'],
  ],
  [
    { ...claim, storageClassName: "A_B" },
    [
      "spec.storageClassName: Invalid value: \"A_B\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ],
  ],
  [
    { ...claim, volumeMode: "Tape" },
    ['spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"'],
  ],
  [
    { ...claim, dataSource: { kind: "Pod", name: "p" } },
    [
      "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
    ],
  ],
])("a claim: %j", (spec, errors) => {
  const found = errorsOf(persistentVolumeClaims, { spec });
  expect(found.slice(0, errors.length)).toEqual(errors);
});

test("a bound claim grows, and changes nothing else", () => {
  const bound = {
    spec: { ...claim, volumeName: "v" },
    status: { phase: "Bound", capacity: { storage: "1Gi" } },
  };
  const sized = (storage: string) => ({
    ...bound,
    spec: { ...bound.spec, resources: { requests: { storage } } },
  });
  expect(changeErrorsOf(persistentVolumeClaims, bound, sized("2Gi"))).toEqual([]);
  expect(changeErrorsOf(persistentVolumeClaims, bound, sized("1Mi"))).toEqual([
    "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
  ]);
  const moved = { ...bound, spec: { ...bound.spec, accessModes: ["ReadWriteMany"] } };
  expect(changeErrorsOf(persistentVolumeClaims, bound, moved)[0]).toContain(
    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
  );
  expect(
    changeErrorsOf(persistentVolumeClaims, { spec: claim }, { spec: { ...claim, volumeName: "v" } }),
  ).toEqual([]);
});

test("a source given in one way is there in the other", () => {
  const dataSource = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "s" };
  const object = make(persistentVolumeClaims, { spec: { ...claim, dataSource } });
  persistentVolumeClaims.onCreate(object, { nowMs: 0 });
  expect(object.spec.dataSourceRef).toEqual(dataSource);
  const other = make(persistentVolumeClaims, {
    spec: { ...claim, dataSource, dataSourceRef: { ...dataSource, name: "t" } },
  });
  expect(errorTexts(persistentVolumeClaims.validate(other))[0]).toContain("must match dataSourceRef");
});
