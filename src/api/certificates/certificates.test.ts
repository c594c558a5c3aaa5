import { expect, test } from "vitest";
import { authority, leaf, signingRequest, stubRequest } from "../testing/certificates.ts";
import { errorsOf, errorTexts, make } from "../testing/examples.ts";
import {
  certificateSigningRequests,
  keepAllButApproval,
  validateApproval,
} from "./certificate-signing-request.ts";
import { clusterTrustBundles } from "./cluster-trust-bundle.ts";
import { podCertificateRequests } from "./pod-certificate-request.ts";

const spec = { request: signingRequest, signerName: "example.com/s", usages: ["client auth"] };

test.each([
  [
    { ...spec, request: "bm90aGluZw==" },
    ['spec.request: Invalid value: "bm90aGluZw==": PEM block type must be CERTIFICATE REQUEST'],
  ],
  [{ ...spec, usages: [] }, ["spec.usages: Required value"]],
  [{ ...spec, usages: ["flying"] }, ['spec.usages[0]: Unsupported value: "flying"']],
  [{ ...spec, usages: ["client auth", "client auth"] }, ['spec.usages[1]: Duplicate value: "client auth"']],
  [
    { ...spec, signerName: "plain" },
    [
      "spec.signerName: Invalid value: \"plain\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
    ],
  ],
  [
    { ...spec, expirationSeconds: 1 },
    [
      "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 600 seconds (10 minutes)",
    ],
  ],
])("a certificate request: %#", (wrong, errors) => {
  expect(errorsOf(certificateSigningRequests, { spec: wrong }).map((e) => e.split(": supported")[0])).toEqual(
    errors,
  );
});

const now = Date.UTC(2026, 0, 1);
const condition = (type: string, status = "True") => ({ type, status, reason: "r" });

function decided(...types: string[]) {
  const old = make(certificateSigningRequests, { spec, status: {} });
  const object = { ...old, status: { conditions: types.map((type) => condition(type)) } } as typeof old;
  keepAllButApproval(object, old, now);
  return { object, old };
}

test("a request is approved or denied, not both, and for good", () => {
  const { object, old } = decided("Approved");
  expect(validateApproval(object, old)).toEqual([]);
  expect(object.status.conditions).toEqual([
    {
      ...condition("Approved"),
      lastUpdateTime: "2026-01-01T00:00:00Z",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    },
  ]);
  const both = decided("Approved", "Denied");
  expect(errorTexts(validateApproval(both.object, both.old))).toEqual([
    'status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive',
  ]);
  expect(errorTexts(validateApproval(old, object))).toEqual([
    'status.conditions: Forbidden: updates may not remove a condition of type "Approved"',
  ]);
});

test("a signer sets the certificate, once, and decides nothing", () => {
  const { object } = decided("Approved");
  const issued = structuredClone(object);
  issued.status.certificate = Buffer.from(leaf).toString("base64");
  expect(errorTexts(certificateSigningRequests.validateStatusUpdate(issued, object))).toEqual([]);
  const other = structuredClone(issued);
  other.status.certificate = Buffer.from(authority).toString("base64");
  expect(errorTexts(certificateSigningRequests.validateStatusUpdate(other, issued))).toEqual([
    "status.certificate: Forbidden: updates may not modify existing certificate content",
  ]);
  const wrong = structuredClone(object);
  wrong.status.certificate = Buffer.from("text").toString("base64");
  expect(errorTexts(certificateSigningRequests.validateStatusUpdate(wrong, object))[0]).toContain(
    "must contain at least one CERTIFICATE PEM block",
  );
});

test("a trust bundle holds authorities alone, each once", () => {
  expect(errorsOf(clusterTrustBundles, { spec: { trustBundle: authority } })).toEqual([]);
  expect(errorsOf(clusterTrustBundles, { spec: { trustBundle: "" } })).toEqual([
    'spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be provided',
  ]);
  expect(errorsOf(clusterTrustBundles, { spec: { trustBundle: authority + authority } })[0]).toContain(
    "duplicate trust anchor",
  );
  expect(
    errorsOf(clusterTrustBundles, {
      metadata: { name: "x" },
      spec: { trustBundle: authority, signerName: "a.b/c" },
    })[0],
  ).toContain("ClusterTrustBundle for signerName a.b/c must be named with prefix a.b:c:");
});

test("a pod's request proves that the pod has its key", () => {
  const request = {
    signerName: "example.com/s",
    podName: "p",
    podUID: "11111111-1111-1111-1111-111111111111",
    serviceAccountName: "sa",
    serviceAccountUID: "22222222-2222-2222-2222-222222222222",
    nodeName: "n",
    nodeUID: "33333333-3333-3333-3333-333333333333",
    stubPKCS10Request: stubRequest,
  };
  expect(errorsOf(podCertificateRequests, { spec: request })).toEqual([]);
  expect(make(podCertificateRequests, { spec: request }).spec.maxExpirationSeconds).toBe(86_400);
  const broken = Buffer.from(stubRequest, "base64");
  broken[broken.length - 3]! ^= 1;
  expect(
    errorsOf(podCertificateRequests, { spec: { ...request, stubPKCS10Request: broken.toString("base64") } }),
  ).toHaveLength(1);
  expect(errorsOf(podCertificateRequests, { spec: { ...request, maxExpirationSeconds: 60 } })).toEqual([
    "spec.maxExpirationSeconds: Invalid value: 60: must be in the range [3600, 7862400]",
  ]);
});
