/** CertificateSigningRequests: their life, their approval, their status. */
import "reflect-metadata";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";
import { expect } from "vitest";
import { certificateSigningRequests, type certificatesv1 } from "#api";
import { livesThroughEveryVerb, statusIsItsOwn } from "../life-cycle.ts";
import { conformance } from "../suite.ts";

const signerName = "example.com/e2e";

/** In PEM, base64. */
async function signingRequest(): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, false, ["sign", "verify"]);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: "CN=e2e-test",
    keys,
    signingAlgorithm: algorithm,
  });
  return Buffer.from(request.toString("pem")).toString("base64");
}

const condition = (type: string) => ({
  type,
  status: "True",
  reason: "Test",
  message: "Set from an e2e test",
});

conformance("auth-fb893f", "CertificateSigningRequests support every operation of the API", async (given) => {
  const { kube, unique, afterwards } = given;
  const request = await signingRequest();
  const make = () => ({
    spec: { request, signerName, expirationSeconds: 3_600, usages: ["client auth", "digital signature"] },
  });
  await livesThroughEveryVerb(kube, {
    type: certificateSigningRequests,
    name: (index) => unique(`request-${index}`),
    make,
    subresources: ["certificatesigningrequests/approval", "certificatesigningrequests/status"],
  });
  const all = kube.resource(certificateSigningRequests);
  const name = unique("approved");
  await all.create({ metadata: { name }, ...make() });
  afterwards(async () => (await all.find(name)) && all.delete(name));
  const types = (csr: certificatesv1.CertificateSigningRequest) =>
    csr.status?.conditions?.map(({ type }) => type);
  expect(types(await all.get(name, "approval"))).toBeUndefined();
  const patched = await all.patch(
    name,
    "merge",
    {
      metadata: { annotations: { patchedapproval: "true" } },
      status: { conditions: [condition("ApprovalPatch")] },
    },
    "approval",
  );
  expect(types(patched)).toEqual(["ApprovalPatch"]);
  expect(patched.metadata.annotations?.patchedapproval).toBe("true");
  const approved = await all.update(
    name,
    (csr) => {
      csr.status = { ...csr.status, conditions: [...(csr.status?.conditions ?? []), condition("Approved")] };
    },
    "approval",
  );
  expect(types(approved)).toEqual(["ApprovalPatch", "Approved"]);

  const certificate = Buffer.from("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
  await expect(
    all.patch(name, "merge", { status: { certificate: certificate.toString("base64") } }, "status"),
  ).rejects.toMatchObject({ code: 422 });
  const conditions = [...(approved.status?.conditions ?? []), condition("StatusPatched")];
  const changed = await statusIsItsOwn(all, name, { conditions }, (status) => {
    const kept = status.conditions as { type: string }[];
    if (!kept.some(({ type }) => type === "StatusUpdated"))
      status.conditions = [...kept, { ...condition("StatusUpdated"), ...transition }];
  });
  expect(types(changed)).toEqual(["ApprovalPatch", "Approved", "StatusPatched", "StatusUpdated"]);
});

const time = "2026-01-01T00:00:00Z";
const transition = { lastUpdateTime: time, lastTransitionTime: time };
