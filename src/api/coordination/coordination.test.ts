import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { storageVersions } from "../internal/storage-version.ts";
import { storageVersionMigrations } from "../storagemigration/storage-version-migration.ts";
import { cellsOf, changeErrorsOf, errorsOf, errorTexts, make } from "../testing/examples.ts";
import { compareVersions, parseSemver } from "../validation/semver.ts";
import { leases } from "./lease.ts";
import { leaseCandidates, leaseCandidatesV1alpha2 } from "./lease-candidate.ts";

describe("lease candidates", () => {
  const spec = {
    leaseName: "l",
    binaryVersion: "1.36.0",
    emulationVersion: "1.35.0",
    strategy: "OldestEmulationVersion",
  };
  test.each([
    [spec, []],
    [
      {},
      [
        "spec.leaseName: Required value",
        "spec.binaryVersion: Required value",
        "spec.strategy: Required value",
      ],
    ],
    [
      { ...spec, binaryVersion: "1.34.0" },
      ['spec.binaryVersion: Invalid value: "1.34.0": must be greater than or equal to `emulationVersion`'],
    ],
    [
      { ...spec, emulationVersion: "v1" },
      [
        'spec.emulationVersion: Invalid value: "v1": must be a valid semantic version',
        "spec.emulationVersion: Required value: must be specified when `strategy` is 'OldestEmulationVersion'",
      ],
    ],
    [
      { ...spec, strategy: "Newest" },
      ['spec.strategy.strategy: Unsupported value: "Newest": supported values: "OldestEmulationVersion"'],
    ],
    [{ ...spec, strategy: "example.com/newest" }, []],
  ])("%j", (given, errors) => {
    expect(errorsOf(leaseCandidates, { spec: given })).toEqual(errors);
    expect(errorsOf(leaseCandidatesV1alpha2, { spec: given })).toEqual(errors);
  });

  test("the lease is for ever", () => {
    expect(changeErrorsOf(leaseCandidates, { spec }, { spec: { ...spec, leaseName: "m" } })).toEqual([
      'spec.leaseName: Invalid value: "m": field is immutable',
    ]);
  });

  test("a holder is preferred by a strategy only", () => {
    expect(errorsOf(leases, { spec: { preferredHolder: "a", leaseDurationSeconds: 0 } })).toEqual([
      "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
      "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
    ]);
  });
});

describe("semantic versions", () => {
  const ordered = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0",
    "1.10.0",
    "2.0.0",
  ];

  test("precedence as semver.org has it", () => {
    const versions = ordered.map((text) => parseSemver(text)!);
    for (const [i, a] of versions.entries())
      for (const [j, b] of versions.entries()) expect(compareVersions(a, b)).toBe(Math.sign(i - j));
  });

  test.each(["1", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "v1.2.3", ""])("%s is none", (text) =>
    expect(parseSemver(text)).toBeUndefined(),
  );

  test("what is built of numbers is one", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(), (a, b, c) => {
        expect(parseSemver(`${a}.${b}.${c}+build.01`)?.numbers).toEqual([a, b, c].map(BigInt));
      }),
    );
  });
});

describe("storage versions and their migration", () => {
  const of = (apiServerID: string, encodingVersion: string, ...decodableVersions: string[]) => ({
    apiServerID,
    encodingVersion,
    decodableVersions,
  });

  test("names are those of resources", () => {
    expect(storageVersions.validateName("apps.deployments", false)).toEqual([]);
    expect(storageVersions.validateName("deployments", false)).toEqual([
      "name must be in the form of <group>.<resource>",
    ]);
  });

  test.each([
    [{ storageVersions: [of("a", "v1", "v1")], commonEncodingVersion: "v1" }, []],
    [
      { storageVersions: [of("a", "v1", "v2")], commonEncodingVersion: "v2" },
      [
        'status.storageVersions[0].decodableVersions: Invalid value: ["v2"]: decodableVersions must include encodingVersion v1',
        'status.commonEncodingVersion: Invalid value: "v2": the actual common encoding version is v1',
      ],
    ],
    [
      { storageVersions: [of("a", "v1", "v1")] },
      ["status.commonEncodingVersion: Invalid value: null: the common encoding version is v1"],
    ],
    [
      { conditions: [{ type: "A", status: "True" }] },
      [
        "status[0].reason: Required value: reason cannot be empty",
        "status[0].message: Required value: message cannot be empty",
      ],
    ],
  ])("%j", (status, errors) => {
    const object = make(storageVersions, { status }, "apps.deployments");
    expect(errorTexts(storageVersions.validateStatusUpdate(object, object))).toEqual(errors);
  });

  test("what servers store shows in the table", () => {
    const servers = ["a", "b", "c", "d"].map((id) => of(id, "v1", "v1"));
    expect(cellsOf(storageVersions, { status: { storageVersions: servers } })).toMatchObject({
      CommonEncodingVersion: "<unset>",
      StorageVersions: "a=v1,b=v1,c=v1 + 1 more...",
    });
  });

  test("a migration names a resource, and ends once", () => {
    expect(errorsOf(storageVersionMigrations, {})).toEqual([
      "spec.resource.resource: Required value: resource is required",
    ]);
    const condition = (type: string) => ({
      type,
      status: "True",
      reason: "Because",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    });
    const spec = { resource: { group: "apps", resource: "deployments" } };
    const before = make(storageVersionMigrations, {
      spec,
      status: { conditions: [condition("Succeeded")], resourceVersion: "5" },
    });
    const after = make(storageVersionMigrations, {
      spec,
      status: { conditions: [condition("Failed"), condition("Running")], resourceVersion: "6" },
    });
    const texts = errorTexts(storageVersionMigrations.validateStatusUpdate(after, before));
    expect(texts[0]).toBe('status.resourceVersion: Invalid value: "6": cannot be updated');
    expect(texts[1]).toMatch(/Running condition cannot be true when failed condition is true$/);
    expect(texts[2]).toMatch(/Success condition cannot be set to false once it is true$/);
    expect(cellsOf(storageVersionMigrations, { spec }).Resource).toBe("deployments.apps");
  });
});
