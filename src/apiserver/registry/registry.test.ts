import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  configMaps,
  type corev1,
  deployments,
  namespaces,
  pods,
  replicaSets,
  StatusError,
  serviceAccounts,
  services,
} from "#api";
import { startTestServer, type TestServer } from "../testing/start.ts";

let server: TestServer;
const inDefault = (name: string) => ({ namespace: "default", name });
const configMap = (name: string, data = {}) => ({ metadata: inDefault(name), data });
const podSpec = { containers: [{ name: "c", image: "i" }] };

beforeAll(async () => {
  server = await startTestServer();
  await server.client.create(serviceAccounts, { metadata: inDefault("default") });
});
afterAll(() => server.stop());

async function failure(work: Promise<unknown>): Promise<StatusError> {
  const error = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(StatusError);
  return error as StatusError;
}

describe("create", () => {
  it("fills in what the server decides and refuses what it must", async () => {
    const made = await server.client.create(configMaps, configMap("a", { k: "v" }));
    expect(made.metadata).toMatchObject({
      name: "a",
      uid: expect.any(String),
      resourceVersion: expect.any(String),
    });
    expect(await failure(server.client.create(configMaps, configMap("a")))).toMatchObject({
      code: 409,
      reason: "AlreadyExists",
    });
    const versioned = { metadata: { ...inDefault("b"), resourceVersion: "5" } };
    expect((await failure(server.client.create(configMaps, versioned))).code).toBe(400);
    const elsewhere = await server.send("POST", "/api/v1/namespaces/default/configmaps", {
      metadata: { name: "x", namespace: "other" },
    });
    expect(elsewhere.body.message).toMatch(/does not match the namespace/);
  });

  it("generates names", async () => {
    const made = await server.client.create(configMaps, {
      metadata: { generateName: "gen-", namespace: "default" },
    });
    expect(made.metadata.name).toMatch(/^gen-[a-z0-9]{5}$/);
  });

  it("stores nothing on a dry run", async () => {
    const made = await server.client.create(configMaps, configMap("dry"), { dryRun: true });
    expect(made.metadata.uid).toBeTruthy();
    expect((await failure(server.client.get(configMaps, inDefault("dry")))).message).toBe(
      'configmaps "dry" not found',
    );
  });

  it("needs a namespace that is there and stays", async () => {
    const missing = await failure(
      server.client.create(configMaps, { metadata: { name: "a", namespace: "nowhere" } }),
    );
    expect(missing).toMatchObject({ code: 404, message: 'namespaces "nowhere" not found' });
    await server.client.create(namespaces, { metadata: { name: "leaving" } });
    await server.client.delete(namespaces, { name: "leaving" });
    const late = await failure(
      server.client.create(configMaps, { metadata: { name: "a", namespace: "leaving" } }),
    );
    expect(late.message).toBe(
      'configmaps "a" is forbidden: unable to create new content in namespace leaving because it is being terminated',
    );
    expect((await failure(server.client.delete(namespaces, { name: "default" }))).code).toBe(403);
  });
});

describe("update and patch", () => {
  it("keeps the version when nothing changes, and refuses an old one", async () => {
    const one = await server.client.create(configMaps, configMap("u", { k: "1" }));
    const same = await server.client.update(configMaps, one);
    expect(same.metadata.resourceVersion).toBe(one.metadata.resourceVersion);
    const two = await server.client.update(configMaps, { ...one, data: { k: "2" } });
    expect(Number(two.metadata.resourceVersion)).toBeGreaterThan(Number(one.metadata.resourceVersion));
    const stale = await failure(server.client.update(configMaps, { ...one, data: { k: "3" } }));
    expect(stale).toMatchObject({ code: 409, reason: "Conflict" });
    const unversioned = await server.client.update(configMaps, configMap("u", { k: "4" }));
    expect(unversioned.data).toEqual({ k: "4" });
    expect(unversioned.metadata.uid).toBe(one.metadata.uid);
  });

  it("applies concurrent patches one after the other and loses none", async () => {
    await server.client.create(configMaps, configMap("many"));
    const patches = Array.from({ length: 15 }, (_, i) =>
      server.client.patch(configMaps, inDefault("many"), "merge", { data: { [`k${i}`]: "v" } }),
    );
    await Promise.all(patches);
    expect(Object.keys((await server.client.get(configMaps, inDefault("many"))).data ?? {})).toHaveLength(15);
  });

  it("takes a version in a patch as a precondition", async () => {
    await server.client.create(configMaps, configMap("pinned"));
    const patch = { metadata: { resourceVersion: "1" }, data: { k: "v" } };
    expect((await failure(server.client.patch(configMaps, inDefault("pinned"), "merge", patch))).code).toBe(
      409,
    );
  });

  it("counts generations of the spec only, and keeps status apart", async () => {
    const spec = {
      selector: { matchLabels: { a: "b" } },
      template: { metadata: { labels: { a: "b" } }, spec: podSpec },
    };
    const made = await server.client.create(deployments, { metadata: inDefault("d"), spec });
    expect(made.metadata.generation).toBe(1);
    const labeled = await server.client.patch(deployments, inDefault("d"), "merge", {
      metadata: { labels: { x: "y" } },
    });
    expect(labeled.metadata.generation).toBe(1);
    const grown = await server.client.patch(deployments, inDefault("d"), "merge", {
      spec: { replicas: 3 },
      status: { replicas: 9 },
    });
    expect(grown).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 3 } });
    expect(grown.status?.replicas).toBeUndefined();
    const status = await server.client.patch(
      deployments,
      inDefault("d"),
      "merge",
      { spec: { replicas: 5 }, status: { replicas: 2 } },
      { subresource: "status" },
    );
    expect(status).toMatchObject({
      metadata: { generation: 2 },
      spec: { replicas: 3 },
      status: { replicas: 2 },
    });
  });

  it("answers every field error at once", async () => {
    const bad = {
      metadata: { ...inDefault("bad"), labels: { "": "x" } },
      spec: { containers: [{ name: "A" }] },
    };
    const error = await failure(server.client.create(pods, bad));
    expect(error.code).toBe(422);
    expect(error.status.details?.causes?.length).toBeGreaterThanOrEqual(3);
  });
});

describe("delete", () => {
  it("respects preconditions and answers what it deleted", async () => {
    const made = await server.client.create(configMaps, configMap("gone"));
    const wrong = failure(
      server.client.delete(configMaps, inDefault("gone"), { preconditions: { uid: "other" } }),
    );
    expect((await wrong).code).toBe(409);
    const answer = await server.send("DELETE", "/api/v1/namespaces/default/configmaps/gone");
    expect(answer).toMatchObject({
      status: 200,
      body: { status: "Success", details: { name: "gone", uid: made.metadata.uid } },
    });
  });

  it("waits for finalizers", async () => {
    await server.client.create(configMaps, {
      metadata: { ...inDefault("held"), finalizers: ["example.com/hold"] },
    });
    await server.client.delete(configMaps, inDefault("held"));
    const held = await server.client.get(configMaps, inDefault("held"));
    expect(held.metadata.deletionTimestamp).toBeTruthy();
    const added = { metadata: { finalizers: ["example.com/hold", "example.com/more"] } };
    expect((await failure(server.client.patch(configMaps, inDefault("held"), "merge", added))).code).toBe(
      422,
    );
    await server.client.patch(configMaps, inDefault("held"), "merge", { metadata: { finalizers: null } });
    expect((await failure(server.client.get(configMaps, inDefault("held")))).code).toBe(404);
  });

  it("sets the garbage collector's finalizers for foreground and orphan", async () => {
    for (const [policy, finalizer] of [
      ["Foreground", "foregroundDeletion"],
      ["Orphan", "orphan"],
    ] as const) {
      await server.client.create(configMaps, configMap(policy.toLowerCase()));
      await server.client.delete(configMaps, inDefault(policy.toLowerCase()), { propagationPolicy: policy });
      const left = await server.client.get(configMaps, inDefault(policy.toLowerCase()));
      expect(left.metadata.finalizers).toEqual([finalizer]);
    }
    const unknown = failure(
      server.client.delete(configMaps, inDefault("orphan"), { propagationPolicy: "Sideways" }),
    );
    expect((await unknown).code).toBe(422);
  });

  it("lets the node finish pods that run on one", async () => {
    await server.client.create(pods, { metadata: inDefault("loose"), spec: podSpec });
    await server.client.delete(pods, inDefault("loose"));
    expect((await failure(server.client.get(pods, inDefault("loose")))).code).toBe(404);

    await server.client.create(pods, { metadata: inDefault("bound"), spec: podSpec });
    await server.client.post(pods, inDefault("bound"), "binding", { target: { name: "n" } });
    await server.client.delete(pods, inDefault("bound"));
    const ending = await server.client.get(pods, inDefault("bound"));
    expect(ending.metadata).toMatchObject({ deletionGracePeriodSeconds: 30, generation: 2 });
    await server.client.delete(pods, inDefault("bound"), { gracePeriodSeconds: 5 });
    expect((await server.client.get(pods, inDefault("bound"))).metadata.deletionGracePeriodSeconds).toBe(5);
    await server.client.delete(pods, inDefault("bound"), { gracePeriodSeconds: 0 });
    expect((await failure(server.client.get(pods, inDefault("bound")))).code).toBe(404);
  });

  it("deletes collections by selector", async () => {
    for (const name of ["s1", "s2"])
      await server.client.create(configMaps, { metadata: { ...inDefault(name), labels: { set: "s" } } });
    await server.client.deleteCollection(configMaps, { namespace: "default", labelSelector: "set=s" });
    expect((await server.client.list(configMaps, { labelSelector: "set=s" })).items).toEqual([]);
    await server.client.get(configMaps, inDefault("a"));
  });
});

describe("subresources", () => {
  it("binds a pod once", async () => {
    await server.client.create(pods, { metadata: inDefault("b"), spec: podSpec });
    await server.client.post(pods, inDefault("b"), "binding", { target: { kind: "Node", name: "n1" } });
    const bound = (await server.client.get(pods, inDefault("b"))) as corev1.Pod;
    expect(bound.spec.nodeName).toBe("n1");
    expect(bound.status?.conditions).toMatchObject([{ type: "PodScheduled", status: "True" }]);
    const again = await failure(
      server.client.post(pods, inDefault("b"), "binding", { target: { name: "n2" } }),
    );
    expect(again.message).toContain('pod b is already assigned to node "n1"');
  });

  it("evicts", async () => {
    await server.client.create(pods, { metadata: inDefault("evicted"), spec: podSpec });
    await server.client.post(pods, inDefault("evicted"), "eviction", { metadata: { name: "evicted" } });
    expect((await failure(server.client.get(pods, inDefault("evicted")))).code).toBe(404);
  });

  it("scales", async () => {
    const spec = {
      selector: { matchLabels: { r: "s" } },
      template: { metadata: { labels: { r: "s" } }, spec: podSpec },
    };
    await server.client.create(replicaSets, { metadata: inDefault("rs"), spec });
    const path = "/apis/apps/v1/namespaces/default/replicasets/rs/scale";
    const read = await server.send("GET", path);
    expect(read.body).toMatchObject({
      kind: "Scale",
      spec: { replicas: 1 },
      status: { replicas: 0, selector: "r=s" },
    });
    const put = await server.send("PUT", path, { metadata: inDefault("rs"), spec: { replicas: 4 } });
    expect(put.body).toMatchObject({ spec: { replicas: 4 } });
    const patched = await server.send(
      "PATCH",
      path,
      { spec: { replicas: 2 } },
      { "content-type": "application/merge-patch+json" },
    );
    expect(patched.body).toMatchObject({ spec: { replicas: 2 } });
    expect((await server.client.get(replicaSets, inDefault("rs"))).spec.replicas).toBe(2);
    expect(
      (await server.send("PUT", path, { metadata: inDefault("rs"), spec: { replicas: -1 } })).status,
    ).toBe(422);
  });

  it("finalizes a namespace", async () => {
    await server.client.create(namespaces, { metadata: { name: "emptied" } });
    await server.client.delete(namespaces, { name: "emptied" });
    const ending = await server.client.get(namespaces, { name: "emptied" });
    expect(ending).toMatchObject({ spec: { finalizers: ["kubernetes"] }, status: { phase: "Terminating" } });
    await server.client.update(
      namespaces,
      { ...ending, spec: { finalizers: [] } },
      { subresource: "finalize" },
    );
    expect((await failure(server.client.get(namespaces, { name: "emptied" }))).code).toBe(404);
  });

  it("is not there for what the resource does not have", async () => {
    expect((await server.send("GET", "/api/v1/namespaces/default/configmaps/a/status")).status).toBe(404);
    expect((await server.send("PUT", "/api/v1/namespaces/default/pods/b/binding", {})).status).toBe(405);
  });
});

it("the kubernetes Service comes back when somebody deletes it", async () => {
  const ref = { namespace: "default", name: "kubernetes" };
  await server.client.delete(services, ref);
  await server.clock.advance(30_000);
  expect((await server.client.get(services, ref)).spec.clusterIP).toBe("10.96.0.1");
  const { revision } = server.store;
  await server.clock.advance(300_000);
  expect(server.store.revision).toBe(revision);
});
