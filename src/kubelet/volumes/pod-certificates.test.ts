import { createPrivateKey } from "node:crypto";
import { expect, test } from "vitest";
import { formatTime, nodes, podCertificateRequests, serviceAccounts } from "#api";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient, FakeApi } from "#client";
import { makePod } from "../testing/pods.ts";
import { createCertificateSource } from "./pod-certificates.ts";

const pem = (text: string) =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString("base64")}\n-----END CERTIFICATE-----\n`;

async function setUp() {
  const clock = new VirtualClock();
  const client = createClient(new FakeApi(clock));
  await client.create(nodes, { metadata: { name: "n1" }, spec: {} });
  await client.create(serviceAccounts, { metadata: { namespace: "default", name: "default" } });
  const said: string[] = [];
  const source = createCertificateSource({
    client,
    world: createWorld({ clock, random: seededRandom(1), log: silentLogger }),
    nodeName: "n1",
    say: (_pod, _kind, reason, message) => said.push(`${reason}: ${message}`),
  });
  const all = async () => (await client.list(podCertificateRequests)).items;
  const projection = { signerName: "x.io/signer", keyType: "ECDSAP256", maxExpirationSeconds: 3600 };
  return {
    client,
    clock,
    said,
    all,
    source,
    /** Asks, and lets the time pass that the source waits. */
    async credentials(keyType = "ECDSAP256") {
      const answer = source.credentialsFor(makePod(), "v/0", { ...projection, keyType });
      const settled = answer.then(
        (value) => ({ value, error: undefined }),
        (error: Error) => ({ value: undefined, error: error.message }),
      );
      let isOver = false;
      void settled.then(() => {
        isOver = true;
      });
      // Keys are made in real time.
      while (!isOver) {
        await new Promise((resolve) => setImmediate(resolve));
        await clock.advance(20);
      }
      return settled;
    },
    async answer(type: string, status: object = {}) {
      const request = (await all()).at(-1)!;
      const condition = { type, status: "True" as const, reason: "Why", message: "because" };
      await client.patch(
        podCertificateRequests,
        request.metadata,
        "merge",
        { status: { ...status, conditions: [condition] } },
        { subresource: "status" },
      );
    },
  };
}

test("a pod waits for its certificate, has its key beside it, and gets another in time", async () => {
  const { clock, all, credentials, answer } = await setUp();
  expect((await credentials()).error).toBe("credential bundle is not issued yet");
  expect((await credentials()).error).toBe("credential bundle is not issued yet");
  const [request, ...more] = await all();
  expect(more).toEqual([]);
  expect(request?.spec).toMatchObject({
    signerName: "x.io/signer",
    podName: "web",
    podUID: "uid-1",
    serviceAccountName: "default",
    nodeName: "n1",
    maxExpirationSeconds: 3600,
  });
  expect(request?.metadata.ownerReferences).toMatchObject([{ kind: "Pod", name: "web" }]);
  const hour = 3_600_000;
  const beginRefreshAt = formatTime(clock.now() + hour);
  await answer("Issued", { certificateChain: `x\n${pem("leaf")}\n${pem("root")}`, beginRefreshAt });
  const { value } = await credentials();
  expect(value?.chain).toBe(pem("leaf") + pem("root"));
  expect(createPrivateKey(value!.key).asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" });
  await clock.advance(2 * hour);
  expect((await credentials()).value?.chain).toBe(value?.chain);
  expect((await all()).length).toBe(2);
  await answer("Issued", { certificateChain: pem("next"), beginRefreshAt: formatTime(clock.now() + hour) });
  expect((await credentials()).value?.chain).toBe(pem("next"));
});

test("a refusal is final, and told", async () => {
  const { all, credentials, answer, said, source } = await setUp();
  await credentials();
  await answer("Denied");
  const words = 'PodCertificateRequest was permanently denied: reason="Why" message="because"';
  expect((await credentials()).error).toBe(words);
  expect((await credentials()).error).toBe(words);
  const { name } = (await all())[0]!.metadata;
  expect(said).toEqual([
    `Denied: PodCertificateRequest default/${name} was denied, reason="Why", message="because"`,
  ]);
  source.forget("uid-1");
  await credentials();
  expect((await all()).length).toBe(2);
});

test("a request that has gone is made again", async () => {
  const { client, all, credentials } = await setUp();
  await credentials();
  const [request] = await all();
  await client.delete(podCertificateRequests, request!.metadata);
  expect((await credentials()).error).toContain("appears to have been deleted");
  await credentials();
  expect((await all()).length).toBe(1);
});
