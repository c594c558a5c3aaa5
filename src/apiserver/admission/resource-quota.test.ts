import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configMaps, limitRanges, namespaces, pods, resourceQuotas, serviceAccounts } from "#api";
import { startTestServer, type TestServer } from "../testing/start.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  for (const name of ["counted", "computed", "ranged", "raced"]) {
    await server.client.create(namespaces, { metadata: { name } });
    await server.client.create(serviceAccounts, { metadata: { name: "default", namespace: name } });
  }
});
afterAll(() => server.stop());

/** A quota as its controller has seen it. */
async function quota(namespace: string, hard: Record<string, string>, spec: object = {}): Promise<void> {
  const metadata = { namespace, name: "quota" };
  await server.client.create(resourceQuotas, { metadata, spec: { hard, ...spec } });
  const used = Object.fromEntries(Object.keys(hard).map((name) => [name, "0"]));
  await server.client.patch(
    resourceQuotas,
    metadata,
    "merge",
    { status: { hard, used } },
    { subresource: "status" },
  );
}

const usedOf = async (namespace: string) =>
  (await server.client.get(resourceQuotas, { namespace, name: "quota" })).status?.used;

const create = (namespace: string, resource: string, body: object, query = "") =>
  server.send("POST", `/api/v1/namespaces/${namespace}/${resource}${query}`, body);

const pod = (name: string, resources?: object) => ({
  metadata: { name },
  spec: { containers: [{ name: "c", image: "i", ...(resources ? { resources } : {}) }] },
});

describe("a quota", () => {
  it("charges what is created, and refuses what is too much in upstream's words", async () => {
    await quota("counted", { configmaps: "2", "count/secrets": "1" });
    for (const name of ["a", "b"])
      expect((await create("counted", "configmaps", { metadata: { name } })).status).toBe(201);
    const third = await create("counted", "configmaps", { metadata: { name: "c" } });
    expect(third).toMatchObject({
      status: 403,
      body: {
        message:
          'configmaps "c" is forbidden: exceeded quota: quota, requested: configmaps=1, used: configmaps=2, limited: configmaps=2',
      },
    });
    expect(await usedOf("counted")).toEqual({ configmaps: "2", "count/secrets": "0" });
  });

  it("gives back what was not stored after all, and takes nothing for a dry run", async () => {
    const taken = await create("counted", "secrets", { metadata: { name: "Not A Name" } });
    expect(taken.status).toBe(422);
    expect((await create("counted", "secrets", { metadata: { name: "dry" } }, "?dryRun=All")).status).toBe(
      201,
    );
    expect((await create("counted", "configmaps", { metadata: { name: "a" } })).status).toBe(403);
    expect(await usedOf("counted")).toEqual({ configmaps: "2", "count/secrets": "0" });
  });

  it("on compute resources wants every container to say what it needs", async () => {
    await quota("computed", { pods: "5", "requests.cpu": "1", "limits.memory": "1Gi" });
    const silent = await create("computed", "pods", pod("silent"));
    expect(silent.body.message).toBe(
      'pods "silent" is forbidden: failed quota: quota: must specify limits.memory for: c; requests.cpu for: c',
    );
    const resources = { requests: { cpu: "600m" }, limits: { memory: "300Mi" } };
    expect((await create("computed", "pods", pod("one", resources))).status).toBe(201);
    expect((await create("computed", "pods", pod("two", resources))).body.message).toContain(
      "exceeded quota: quota, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1",
    );
    expect(await usedOf("computed")).toEqual({ pods: "1", "requests.cpu": "600m", "limits.memory": "300Mi" });
  });

  it("is never overshot, however many ask at the same moment", async () => {
    await quota("raced", { configmaps: "7" });
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) => create("raced", "configmaps", { metadata: { name: `m${i}` } })),
    );
    const codes = answers.map(({ status }) => status);
    expect(codes.filter((code) => code === 201)).toHaveLength(7);
    expect(codes.filter((code) => code === 403)).toHaveLength(23);
    const { items } = await server.client.list(configMaps, { namespace: "raced" });
    expect(items).toHaveLength(7);
    expect(await usedOf("raced")).toEqual({ configmaps: "7" });
  });
});

describe("a limit range", () => {
  beforeAll(async () => {
    const limits = [
      {
        type: "Container",
        default: { cpu: "500m" },
        defaultRequest: { cpu: "100m", memory: "64Mi" },
        max: { cpu: "1" },
        min: { memory: "32Mi" },
        maxLimitRequestRatio: { cpu: "10" },
      },
      { type: "Pod", max: { cpu: "1500m" } },
    ];
    await server.client.create(limitRanges, {
      metadata: { namespace: "ranged", name: "range" },
      spec: { limits },
    } as never);
  });

  it("gives containers what they did not ask for, and says so", async () => {
    expect((await create("ranged", "pods", pod("plain"))).status).toBe(201);
    const stored = await server.client.get(pods, { namespace: "ranged", name: "plain" });
    expect(stored.spec.containers[0]?.resources).toEqual({
      limits: { cpu: "500m" },
      requests: { cpu: "100m", memory: "64Mi" },
    });
    expect(stored.metadata.annotations).toEqual({
      "kubernetes.io/limit-ranger":
        "LimitRanger plugin set: cpu, memory request for container c; cpu limit for container c",
    });
  });

  it.each([
    [
      { limits: { cpu: "2" }, requests: { cpu: "1" } },
      "maximum cpu usage per Container is 1, but limit is 2",
    ],
    [{ requests: { memory: "1Mi" } }, "minimum memory usage per Container is 32Mi, but request is 1Mi"],
    [
      { requests: { cpu: "10m" } },
      "cpu max limit to request ratio per Container is 10, but provided ratio is 50.000000",
    ],
  ])("refuses %j", async (resources, why) => {
    const answer = await create("ranged", "pods", pod("bad", resources));
    expect([answer.status, answer.body.message]).toEqual([403, expect.stringContaining(why)]);
  });
});
