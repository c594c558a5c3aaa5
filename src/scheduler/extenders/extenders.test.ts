import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type corev1, nodes, pods } from "#api";
import { createWorld, runOk, silentLogger } from "#base";
import { createClient, createInformers, FakeApi } from "#client";
import { settingsOf } from "../configuration.ts";
import { nodeOf, type PodOptions, podOf } from "../scheduler.fixture.ts";
import { startScheduler } from "../start-scheduler.ts";
import { type ExtenderConfiguration, extenderSettings } from "./extender-configuration.ts";

/** All that a request may bring. */
interface Body {
  Pod: corev1.Pod;
  Nodes: { items: corev1.Node[] };
  NodeNames: string[];
  NodeNameToMetaVictims: Record<string, unknown>;
}
type Answers = Record<string, (body: Body) => unknown>;

/** A real server; `requests` are the verbs it was asked, with what was sent. */
async function extender(answers: Answers, tls?: { cert: Buffer; key: Buffer; ca: Buffer }) {
  const requests: [string, Body][] = [];
  const listener: RequestListener = async (request, response) => {
    const verb = request.url!.split("/").at(-1)!;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Body;
    requests.push([verb, body]);
    const answer = answers[verb]?.(body);
    response.statusCode = answer === undefined ? 500 : 200;
    response.end(JSON.stringify(answer ?? {}));
  };
  const server: Server = tls
    ? createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: true }, listener)
    : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { requests, urlPrefix: `${tls ? "https" : "http"}://127.0.0.1:${port}/scheduler/` };
}

const nodeName = (name: string) => ({ metadata: { name } });

/** Real servers take their time on a busy machine. */
const soon = <T>(ask: () => T) => expect.poll(ask, { timeout: 25_000 });

async function setUp(extenders: readonly ExtenderConfiguration[]) {
  const world = createWorld({ log: silentLogger });
  const client = createClient(new FakeApi());
  const stop = new AbortController();
  const informers = createInformers(client, world, { freeze: true });
  const configuration = {
    apiVersion: "kubescheduler.config.k8s.io/v1",
    kind: "KubeSchedulerConfiguration",
    extenders,
  };
  const scheduler = await startScheduler({
    ...{ client, world, informers },
    ...settingsOf(configuration),
  });
  informers.start(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await scheduler.stop();
  });
  const get = (name: string) => client.get(pods, { namespace: "default", name });
  for (const name of ["a", "b", "c"]) await client.create(nodes, nodeOf(name));
  return {
    client,
    addPod: (name: string, options?: PodOptions) => client.create(pods, podOf(name, options)),
    nodeOf: async (name: string) => (await get(name)).spec.nodeName,
    condition: async (name: string) =>
      (await get(name)).status?.conditions?.find((c) => c.type === "PodScheduled"),
  };
}

test("it filters and scores, by whole nodes or by name, in whatever case it answers", async () => {
  const whole = await extender({
    filter: ({ Nodes }) => ({ nodes: { items: Nodes.items.filter((n) => n.metadata.name !== "a") } }),
  });
  const byName = await extender({
    filter: ({ NodeNames }) => ({ NodeNames, failednodes: null }),
    prioritize: () => [
      { Host: "b", Score: 1 },
      { Host: "c", Score: 10 },
    ],
  });
  const s = await setUp([
    { urlPrefix: whole.urlPrefix, filterVerb: "filter" },
    {
      urlPrefix: byName.urlPrefix,
      ...{ filterVerb: "filter", prioritizeVerb: "prioritize", weight: 5, nodeCacheCapable: true },
    },
  ]);
  for (const name of ["p1", "p2", "p3"]) await s.addPod(name, { cpu: "1" });
  for (const name of ["p1", "p2", "p3"]) await soon(() => s.nodeOf(name)).toBe("c");
  expect(whole.requests[0]![1]).toMatchObject({ Pod: nodeName("p1"), NodeNames: null });
  expect(byName.requests[0]![1]).toMatchObject({ NodeNames: ["b", "c"], Nodes: null });
});

test("why it turns nodes down is said, and whatever changes brings the pod back", async () => {
  let open = false;
  const { urlPrefix } = await extender({
    filter: ({ NodeNames }) =>
      open
        ? { NodeNames }
        : {
            NodeNames: [],
            FailedNodes: { a: "is sleeping", b: "is sleeping" },
            FailedAndUnresolvableNodes: { c: "is gone" },
          },
  });
  const s = await setUp([{ urlPrefix, filterVerb: "filter", nodeCacheCapable: true }]);
  await s.addPod("p");
  await soon(() => s.condition("p")).toMatchObject({
    reason: "Unschedulable",
    message: expect.stringContaining("0/3 nodes are available: 1 is gone, 2 is sleeping."),
  });
  open = true;
  await s.client.create(nodes, nodeOf("d"));
  await soon(() => s.nodeOf("p")).toBeDefined();
});

test("one that fails holds the pod up, unless it may be ignored", async () => {
  const broken = await extender({});
  const s = await setUp([{ urlPrefix: broken.urlPrefix, filterVerb: "filter" }]);
  await s.addPod("p");
  await soon(() => s.condition("p")).toMatchObject({
    reason: "SchedulerError",
    message: `failed filter with extender at URL ${broken.urlPrefix}filter, code 500`,
  });
  expect(await s.nodeOf("p")).toBeUndefined();
  const ignored = await setUp([
    { urlPrefix: broken.urlPrefix, filterVerb: "filter", ignorable: true },
    {
      urlPrefix: "http://127.0.0.1:1",
      filterVerb: "filter",
      prioritizeVerb: "x",
      weight: 1,
      ignorable: true,
    },
  ]);
  await ignored.addPod("p");
  await soon(() => ignored.nodeOf("p")).toBeDefined();
});

test("it is asked about the resources it manages only, which the scheduler may leave to it", async () => {
  const { urlPrefix, requests } = await extender({ filter: () => ({ NodeNames: ["b"] }) });
  const s = await setUp([
    {
      ...{ urlPrefix, filterVerb: "filter", nodeCacheCapable: true },
      managedResources: [{ name: "example.com/gpu", ignoredByScheduler: true }],
    },
  ]);
  await s.addPod("plain");
  await soon(() => s.nodeOf("plain")).toBeDefined();
  expect(requests).toEqual([]);
  const limits = { "example.com/gpu": "1" };
  await s.addPod("gpu", { containers: [{ name: "c", image: "x", resources: { limits, requests: limits } }] });
  await soon(() => s.nodeOf("gpu")).toBe("b");
});

test("it binds in the scheduler's place", async () => {
  const { urlPrefix, requests } = await extender({ bind: () => ({ Error: "" }) });
  const s = await setUp([{ urlPrefix, bindVerb: "bind" }]);
  const pod = await s.addPod("p", { nodeSelector: { "kubernetes.io/hostname": "b" } });
  const { uid } = pod.metadata;
  await soon(() => requests).toEqual([
    ["bind", { PodName: "p", PodNamespace: "default", PodUID: uid, Node: "b" }],
  ]);
  expect(await s.nodeOf("p")).toBeUndefined();
});

test("it chooses among the nodes where room can be made, and who must go there", async () => {
  const { urlPrefix, requests } = await extender({
    preempt: ({ NodeNameToMetaVictims: { b } }) => ({ NodeNameToMetaVictims: { b } }),
  });
  const s = await setUp([{ urlPrefix, preemptVerb: "preempt", nodeCacheCapable: true }]);
  for (const name of ["a", "b", "c"]) {
    const nodeSelector = { "kubernetes.io/hostname": name };
    await s.addPod(`low-${name}`, { cpu: "4", priority: 1, nodeSelector });
    await soon(() => s.nodeOf(`low-${name}`)).toBe(name);
  }
  requests.length = 0;
  await s.addPod("high", { cpu: "4", priority: 10 });
  const going = async () => {
    const { items } = await s.client.list(pods);
    return items.filter(({ metadata }) => metadata.deletionTimestamp).map(({ metadata }) => metadata.name);
  };
  await soon(going).toEqual(["low-b"]);
  expect(Object.keys(requests[0]![1].NodeNameToMetaVictims).sort()).toEqual(["a", "b", "c"]);
});

test("over TLS both show their certificates", async () => {
  const folder = await mkdtemp(join(tmpdir(), "knarr-extender-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  await runOk("openssl", [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1".split(" "),
    ...["-keyout", key, "-out", cert, "-subj", "/CN=extender", "-addext", "subjectAltName=DNS:extender"],
  ]);
  const [keyData, certData] = await Promise.all([readFile(key), readFile(cert)]);
  const { urlPrefix } = await extender(
    { filter: () => ({ NodeNames: ["c"] }) },
    { cert: certData, key: keyData, ca: certData },
  );
  const base = { urlPrefix, filterVerb: "filter", nodeCacheCapable: true };
  const own = { certFile: cert, keyData: keyData.toString("base64") };
  const s = await setUp([{ ...base, tlsConfig: { ...own, caFile: cert, serverName: "extender" } }]);
  await s.addPod("p");
  await soon(() => s.nodeOf("p")).toBe("c");
  const stranger = await setUp([{ ...base, tlsConfig: { ...own, serverName: "extender" } }]);
  await stranger.addPod("p");
  await soon(async () => (await stranger.condition("p"))?.message).toContain("self-signed certificate");
});

test("what cannot be used is refused, with the mend", () => {
  const urlPrefix = "http://127.0.0.1:8888";
  const refused: [ExtenderConfiguration[], string][] = [
    [[{}], "no address"],
    [[{ urlPrefix: "ftp://x" }], "no address"],
    [[{ urlPrefix, prioritizeVerb: "p" }], "weighs 0"],
    [[{ urlPrefix, httpTimeout: "soon" }], "must be a duration"],
    [[{ urlPrefix, tlsConfig: { caFile: "/nowhere" } }], "ENOENT"],
    [
      [
        { urlPrefix, bindVerb: "b" },
        { urlPrefix, bindVerb: "b" },
      ],
      "2 of them bind",
    ],
  ];
  for (const [extenders, problem] of refused) expect(() => extenderSettings(extenders)).toThrow(problem);
});
