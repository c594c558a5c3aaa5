/** Pods with certificates of their own, from a signer that the test is. */
import { createPublicKey, webcrypto, X509Certificate } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, newestKubectl } from "./harness.ts";

x509.cryptoProvider.set(webcrypto as Crypto);
const kubectl = newestKubectl();
const namespace = "pod-certificates";
const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const hourMs = 3_600_000;

const pod = (name: string, keyType: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: c
      image: busybox:1.36
      command: [sleep, "1000"]
      volumeMounts: [{name: v, mountPath: /own}]
  volumes:
    - name: v
      projected:
        sources:
          - podCertificate:
              signerName: knarr.test/signer
              keyType: ${keyType}
              credentialBundlePath: bundle.pem
              keyPath: key.pem
              certificateChainPath: chain.pem
`;

interface Request {
  metadata: { name: string };
  spec: { podName: string; stubPKCS10Request: string };
  status?: { conditions?: unknown[] };
}

const requestOf = (podName: string) =>
  eventually(`the request of ${podName}`, async () => {
    const { items } = JSON.parse(await k("get", "podcertificaterequests", "-o", "json")) as {
      items: Request[];
    };
    return items.find(({ spec, status }) => spec.podName === podName && !status?.conditions);
  });

const answer = (name: string, type: string, status: object = {}) => {
  const condition = {
    type,
    status: "True",
    reason: "Test",
    message: "by the test",
    lastTransitionTime: new Date().toISOString().replace(/\.\d+/, ""),
  };
  const patch = JSON.stringify({ status: { ...status, conditions: [condition] } });
  return k("patch", "podcertificaterequest", name, "--subresource=status", "--type=merge", "-p", patch);
};

/** RFC 3339 without fractions. */
const time = (date: Date) => date.toISOString().replace(/\.\d+/, "");

async function sign({ spec }: Request): Promise<object> {
  const request = new x509.Pkcs10CertificateRequest(Buffer.from(spec.stubPKCS10Request, "base64"));
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const notBefore = new Date(Math.floor(Date.now() / 1000) * 1000);
  const notAfter = new Date(notBefore.getTime() + 2 * hourMs);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: "CN=pod",
    issuer: "CN=signer",
    notBefore,
    notAfter,
    publicKey: request.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: algorithm,
  });
  return {
    certificateChain: `${certificate.toString("pem")}\n`,
    notBefore: time(notBefore),
    notAfter: time(notAfter),
    beginRefreshAt: time(new Date(notBefore.getTime() + hourMs)),
  };
}

beforeAll(() => kubectl.ok(["create", "namespace", namespace]));
afterAll(() => kubectl.ok(["delete", "namespace", namespace, "--timeout=120s"]));

test.each(["ECDSAP256", "ED25519", "RSA3072"])(
  "a pod has a key of the type %s and its certificate",
  async (keyType) => {
    const name = keyType.toLowerCase();
    await kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input: pod(name, keyType) });
    const request = await requestOf(name);
    await answer(request.metadata.name, "Issued", await sign(request));
    await k("wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s");
    const read = (file: string) => k("exec", name, "--", "cat", `/own/${file}`);
    const [key, chain] = [await read("key.pem"), await read("chain.pem")];
    expect(await read("bundle.pem")).toBe(key + chain);
    const ours = createPublicKey(key).export({ type: "spki", format: "pem" });
    expect(new X509Certificate(chain).publicKey.export({ type: "spki", format: "pem" })).toBe(ours);
  },
);

test("a pod whose request is denied is told so", async () => {
  await kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input: pod("denied", "ECDSAP384") });
  const request = await requestOf("denied");
  await answer(request.metadata.name, "Denied");
  const words = 'PodCertificateRequest was permanently denied: reason="Test" message="by the test"';
  await eventually("the event", async () =>
    (await k("get", "events", "--field-selector=involvedObject.name=denied")).includes(words)
      ? true
      : undefined,
  );
});
