import { webcrypto, X509Certificate } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { expect, test } from "vitest";
import { certificateSigningRequests, type certificatesv1, formatTime } from "#api";
import { createWorld, seededRandom } from "#base";
import { createInformers } from "#client";
import type { ControllerOptions } from "../kit/define-controller.ts";
import { testWorld } from "../kit/world.fixture.ts";
import { startControllers } from "../start-controllers.ts";
import { csrApprovingController, csrCleanerController, csrSigningController } from "./controllers.ts";

x509.cryptoProvider.set(webcrypto as Crypto);
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const keys = () => webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
const day = 86_400_000;

async function authority(nowMs: number) {
  const pair = await keys();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=test-ca",
    notBefore: new Date(nowMs - day),
    notAfter: new Date(nowMs + 3650 * day),
    keys: pair,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const key = x509.PemConverter.encode(
    await webcrypto.subtle.exportKey("pkcs8", pair.privateKey),
    "PRIVATE KEY",
  );
  return { cert: cert.toString("pem"), key };
}

async function pkcs10(name: string, dnsNames: string[] = []): Promise<string> {
  const extensions = dnsNames.length
    ? [new x509.SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: "dns" as const, value })))]
    : [];
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name,
    keys: await keys(),
    signingAlgorithm: algorithm,
    extensions,
  });
  return Buffer.from(request.toString("pem")).toString("base64");
}

const kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
const clientUsages = ["digital signature", "client auth"];

/** A world whose access reviews allow what `allowed` names. */
async function worldWith(
  allowed: readonly string[] = [],
  options: Pick<ControllerOptions, "signingDurationMs"> = {},
) {
  const { api, client, clock } = testWorld();
  const send = api.send.bind(api);
  api.send = async (request) => {
    // What a real server does for approvals, the fake one does for statuses only.
    if (request.path.endsWith("/approval"))
      return send({ ...request, path: request.path.replace(/approval$/, "status") });
    if (!request.path.includes("subjectaccessreviews")) return send(request);
    const review = JSON.parse(Buffer.from(request.body!).toString());
    const isAllowed = allowed.includes(review.spec.resourceAttributes.subresource);
    const body = Buffer.from(JSON.stringify({ ...review, metadata: {}, status: { allowed: isAllowed } }));
    return {
      status: 201,
      headers: {},
      body: (async function* () {
        yield body;
      })(),
    };
  };
  const world = createWorld({ clock, random: seededRandom(3) });
  const informers = createInformers(client, world);
  const ca = await authority(clock.now());
  const only = [csrApprovingController, csrSigningController, csrCleanerController].map(({ name }) => name);
  const controllers = await startControllers({ client, world, informers, only, authority: ca, ...options });
  const stop = new AbortController();
  informers.start(stop.signal);
  const ask = (name: string, spec: Partial<certificatesv1.CertificateSigningRequestSpec>, status = {}) =>
    client.create(certificateSigningRequests, {
      metadata: { name },
      spec: { signerName: kubelet, usages: clientUsages, request: "", ...spec },
      status,
    } as unknown as certificatesv1.CertificateSigningRequest);
  const settle = async (ms = 1_000) => {
    // The cryptography runs on real threads, and its library is loaded late.
    await import("./x509.ts");
    for (let i = 0; i < 100; i++) {
      await clock.advance(ms / 100);
      await new Promise((resolve) => setImmediate(resolve));
      await webcrypto.subtle.digest("SHA-256", new Uint8Array(1));
    }
  };
  const get = (name: string) => client.get(certificateSigningRequests, { name });
  const end = async () => {
    stop.abort();
    await controllers.stop();
  };
  return { clock, ca, ask, settle, get, end };
}

test("a kubelet's own request is approved and signed", async () => {
  const world = await worldWith(["selfnodeclient"]);
  const request = await pkcs10("O=system:nodes,CN=system:node:n1");
  await world.ask("renewal", { request, username: "system:node:n1", expirationSeconds: 3600 });
  await world.settle();
  await world.settle();
  const { status } = await world.get("renewal");
  expect(status?.conditions).toMatchObject([{ type: "Approved", status: "True", reason: "AutoApproved" }]);
  const certificate = new X509Certificate(Buffer.from(status?.certificate ?? "", "base64"));
  expect(certificate.verify(new X509Certificate(world.ca.cert).publicKey)).toBe(true);
  expect(certificate.subject).toBe("O=system:nodes\nCN=system:node:n1");
  expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  const leftMs = Date.parse(certificate.validTo) - world.clock.now();
  expect(Math.abs(leftMs - 3_600_000)).toBeLessThan(10_000);
  await world.end();
});

test("nobody is given longer than the cluster signs for", async () => {
  const world = await worldWith(["selfnodeclient"], { signingDurationMs: 1_800_000 });
  const request = await pkcs10("O=system:nodes,CN=system:node:n1");
  const asked = { longer: { expirationSeconds: 3600 }, shorter: { expirationSeconds: 900 }, default: {} };
  for (const [name, life] of Object.entries(asked))
    await world.ask(name, { request, username: "system:node:n1", ...life });
  await world.settle();
  await world.settle();
  const lives = await Promise.all(
    Object.keys(asked).map(async (name) => {
      const { status } = await world.get(name);
      const { validFrom, validTo } = new X509Certificate(Buffer.from(status?.certificate ?? "", "base64"));
      return Math.round((Date.parse(validTo) - Date.parse(validFrom)) / 60_000);
    }),
  );
  // Five minutes more: they are good from before they were signed.
  expect(lives).toEqual([35, 20, 35]);
  await world.end();
});

test("without leave, or for somebody else, nothing is approved", async () => {
  const world = await worldWith(["selfnodeclient"]);
  const request = await pkcs10("O=system:nodes,CN=system:node:n2");
  await world.ask("foreign", { request, username: "system:node:n1" });
  await world.ask("named", {
    request: await pkcs10("O=system:nodes,CN=system:node:n1", ["a"]),
    username: "system:node:n1",
  });
  await world.settle();
  for (const name of ["foreign", "named"]) expect((await world.get(name)).status?.conditions).toBeUndefined();
  await world.end();
});

test("what its signer does not sign fails, with the reason", async () => {
  const world = await worldWith();
  const approved = { conditions: [{ type: "Approved", status: "True" }] };
  const signerName = "kubernetes.io/kubelet-serving";
  const usages = ["digital signature", "server auth"];
  const request = await pkcs10("O=system:nodes,CN=system:node:n1");
  await world.ask("nameless", { request, signerName, usages }, approved);
  const serving = await pkcs10("O=system:nodes,CN=system:node:n1", ["n1"]);
  await world.ask("serving", { request: serving, signerName, usages }, approved);
  await world.ask("others", { request, signerName: "example.com/signer" }, approved);
  await world.settle();
  await world.settle();
  expect((await world.get("nameless")).status?.conditions?.[1]).toMatchObject({
    type: "Failed",
    reason: "SignerValidationFailure",
    message: "DNS or IP subjectAltName is required",
  });
  const certificate = (await world.get("serving")).status?.certificate ?? "";
  expect(new X509Certificate(Buffer.from(certificate, "base64")).subjectAltName).toBe("DNS:n1");
  expect((await world.get("others")).status?.certificate).toBeUndefined();
  await world.end();
});

test("requests are removed: decided ones after an hour, others after a day", async () => {
  const world = await worldWith();
  const lastUpdateTime = formatTime(world.clock.now());
  const denied = { conditions: [{ type: "Denied", status: "True", lastUpdateTime }] };
  await world.ask("denied", { signerName: "example.com/signer" }, denied);
  await world.ask("pending", { signerName: "example.com/signer" });
  await world.settle(30 * 60_000);
  expect((await world.get("denied")).metadata.name).toBe("denied");
  await world.settle(40 * 60_000);
  await expect(world.get("denied")).rejects.toThrow("not found");
  await world.settle(22 * 3_600_000);
  expect((await world.get("pending")).metadata.name).toBe("pending");
  await world.settle(2 * 3_600_000);
  await expect(world.get("pending")).rejects.toThrow("not found");
  await world.end();
});
