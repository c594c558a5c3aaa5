import { expect, test } from "vitest";
import type { resourcev1 } from "#api";
import { makePod } from "../testing/pods.ts";
import { type CdiSpec, grantOf } from "./cdi.ts";
import { cdiNamesOf, checkClaim, claimNameOf, type PreparedClaim } from "./manager.ts";

const device = (cdi: string, ...requestNames: string[]) => ({
  requestNames,
  poolName: "p",
  deviceName: cdi,
  cdiDeviceIds: [cdi],
});
const prepared: PreparedClaim = {
  claim: { namespace: "default", name: "c", uid: "u" },
  podUids: ["uid-1"],
  devices: {
    "one.example.com": [device("a", "first"), device("b", "second/big")],
    "two.example.com": [device("c")],
  },
};

test("a container has the whole claim, or what answers its request", () => {
  expect(cdiNamesOf(prepared, undefined)).toEqual(["a", "b", "c"]);
  expect(cdiNamesOf(prepared, "first")).toEqual(["a", "c"]);
  expect(cdiNamesOf(prepared, "second")).toEqual(["b", "c"]);
});

test("a claim is found by its name, or by what was made of its template", () => {
  const resourceClaims = [{ name: "own", resourceClaimName: "mine" }, { name: "made" }, { name: "none" }];
  const resourceClaimStatuses = [{ name: "made", resourceClaimName: "web-made-x" }, { name: "none" }];
  const pod = makePod({ resourceClaims }, { resourceClaimStatuses });
  expect(claimNameOf(pod, "own")).toBe("mine");
  expect(claimNameOf(pod, "made")).toBe("web-made-x");
  expect(claimNameOf(pod, "none")).toBeUndefined();
  expect(() => claimNameOf(makePod({ resourceClaims }), "made")).toThrow("has no resource claim yet");
});

test("only a claim that is allocated, and for this pod, may be used", () => {
  const claim = (status: object) =>
    ({ metadata: { namespace: "default", name: "c", uid: "u" }, status }) as resourcev1.ResourceClaim;
  const allocation = { devices: { results: [] } };
  expect(() => checkClaim(makePod(), claim({}))).toThrow("resource claim default/c not allocated");
  expect(() => checkClaim(makePod(), claim({ allocation, reservedFor: [{ uid: "other" }] }))).toThrow(
    "pod default/web (uid-1) is not allowed to use ResourceClaim default/c (u)",
  );
  expect(() => checkClaim(makePod(), claim({ allocation, reservedFor: [{ uid: "uid-1" }] }))).not.toThrow();
});

const specs: CdiSpec[] = [
  {
    kind: "example.com/toy",
    containerEdits: { env: ["TOYS=yes"] },
    devices: [
      {
        name: "one",
        containerEdits: {
          env: ["TOY=one=1"],
          deviceNodes: [{ path: "/dev/toy", hostPath: "/dev/null" }],
          mounts: [{ hostPath: "/lib/toy", containerPath: "/toy", options: ["ro", "bind"] }],
        },
      },
      { name: "hooked", containerEdits: { hooks: [{}] } },
    ],
  },
];

test("a CDI name stands for variables, devices and mounts", () => {
  expect(grantOf(specs, ["example.com/toy=one", "example.com/toy=one"])).toEqual({
    envs: { TOY: "one=1", TOYS: "yes" },
    devices: [{ containerPath: "/dev/toy", hostPath: "/dev/null", permissions: "rwm" }],
    mounts: [{ hostPath: "/lib/toy", containerPath: "/toy", readOnly: true }],
    annotations: {},
    cdiDevices: [],
  });
  expect(() => grantOf(specs, ["example.com/toy=none"])).toThrow(
    "unresolvable CDI devices example.com/toy=none",
  );
  expect(() => grantOf(specs, ["example.com/toy=hooked"])).toThrow("has hooks");
});
