/** What ordinary writes leave in managedFields, through the API server. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../testing/start.ts";
import { deployment, deployments, owners } from "./apply.fixture.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

function apply(path: string, manager: string, body: unknown, query = "") {
  return server.send("PATCH", `${path}?fieldManager=${manager}${query}`, body, {
    "content-type": "application/apply-patch+yaml",
  });
}

describe("ordinary writes", () => {
  test("whoever creates owns what was said, defaults included, in upstream's form", async () => {
    const answer = await server.send("POST", deployments, deployment("made"), {
      "user-agent": "kubectl/v1.36.0 (linux/amd64) kubernetes/abc",
    });
    expect(owners(answer)).toEqual([
      {
        manager: "kubectl",
        operation: "Update",
        apiVersion: "apps/v1",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        fieldsType: "FieldsV1",
        fieldsV1: expect.anything(),
      },
    ]);
    // Word for word what kube-apiserver stores for this object.
    expect(JSON.stringify(owners(answer)[0]?.fieldsV1)).toBe(
      '{"f:spec":{"f:progressDeadlineSeconds":{},"f:replicas":{},"f:revisionHistoryLimit":{},"f:selector":{},' +
        '"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}},' +
        '"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},' +
        '"f:spec":{"f:containers":{"k:{\\"name\\":\\"web\\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},' +
        '"f:name":{},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},' +
        '"f:dnsPolicy":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},' +
        '"f:terminationGracePeriodSeconds":{}}}}}',
    );
  });

  test("a change moves its fields to who made it; a subresource is told apart", async () => {
    await server.send(
      "POST",
      `${deployments}?fieldManager=first`,
      deployment("moved", { spec: { replicas: 1 } }),
    );
    const merge = { "content-type": "application/merge-patch+json" };
    const scaled = await server.send(
      "PATCH",
      `${deployments}/moved/scale?fieldManager=scaler`,
      { spec: { replicas: 3 } },
      merge,
    );
    expect(scaled.status).toBe(200);
    const status = await server.send(
      "PATCH",
      `${deployments}/moved/status?fieldManager=controller`,
      { status: { replicas: 2 }, spec: { replicas: 9 } },
      merge,
    );
    const [first, scaler, controller, ...more] = owners(status)
      .sort((a, b) => (a.manager < b.manager ? 1 : -1))
      .reverse();
    expect(more).toEqual([]);
    expect(first).toMatchObject({ manager: "controller", subresource: "status" });
    expect(first?.fieldsV1).toEqual({ "f:status": { "f:replicas": {} } });
    expect(scaler).toMatchObject({ manager: "first", operation: "Update" });
    expect(JSON.stringify(scaler?.fieldsV1)).not.toContain("f:replicas");
    expect(controller).toMatchObject({ manager: "scaler", subresource: "scale", apiVersion: "apps/v1" });
    expect(controller?.fieldsV1).toEqual({ "f:spec": { "f:replicas": {} } });
  });

  test("a change of nothing keeps version and times", async () => {
    const made = await server.send("POST", `${deployments}?fieldManager=a`, deployment("still"));
    await server.clock.advance(60_000);
    const again = await server.send("PUT", `${deployments}/still?fieldManager=b`, made.body);
    expect(again.body.metadata?.resourceVersion).toBe(made.body.metadata?.resourceVersion);
    expect(owners(again)).toEqual(owners(made));
  });

  test("owners can be wiped out, are not told again by updates, and come back with an apply", async () => {
    await server.send("POST", `${deployments}?fieldManager=a`, deployment("wiped"));
    const merge = { "content-type": "application/merge-patch+json" };
    for (const managedFields of [[{}], []]) {
      const wiped = await server.send(
        "PATCH",
        `${deployments}/wiped`,
        { metadata: { managedFields } },
        merge,
      );
      expect(wiped.status).toBe(200);
      expect(wiped.body.metadata).not.toHaveProperty("managedFields");
    }
    const updated = await server.send("PATCH", `${deployments}/wiped`, { spec: { replicas: 4 } }, merge);
    expect(owners(updated)).toEqual([]);
    const applied = await apply(
      `${deployments}/wiped`,
      "x",
      deployment("wiped", { metadata: { labels: { a: "b" } } }),
    );
    expect(owners(applied).map((entry) => [entry.manager, entry.operation])).toEqual([
      ["x", "Apply"],
      ["before-first-apply", "Update"],
    ]);
  });

  test("owners that mean nothing are ignored in favour of those stored", async () => {
    const made = await server.send("POST", `${deployments}?fieldManager=a`, deployment("nonsense"));
    const merge = { "content-type": "application/merge-patch+json" };
    for (const managedFields of [
      [{ manager: "x", operation: "Steal", apiVersion: "v1", fieldsType: "FieldsV1", fieldsV1: {} }],
      [{ manager: "x", operation: "Update", apiVersion: "v1", fieldsType: "FieldsV2", fieldsV1: {} }],
      [
        {
          manager: "x",
          operation: "Update",
          apiVersion: "v1",
          fieldsType: "FieldsV1",
          fieldsV1: { spec: {} },
        },
      ],
      [
        {
          manager: "x",
          operation: "Update",
          apiVersion: "v1",
          fieldsType: "FieldsV1",
          fieldsV1: { "k:{": {} },
        },
      ],
    ]) {
      const answer = await server.send(
        "PATCH",
        `${deployments}/nonsense`,
        { metadata: { managedFields } },
        merge,
      );
      expect(answer.status).toBe(200);
      expect(owners(answer)).toEqual(owners(made));
    }
  });

  test("many owners are merged into ancient changes", async () => {
    await server.send("POST", "/api/v1/namespaces/default/configmaps?fieldManager=m0", {
      metadata: { name: "crowded" },
      data: { k0: "0" },
    });
    const merge = { "content-type": "application/merge-patch+json" };
    let last = await server.send("GET", "/api/v1/namespaces/default/configmaps/crowded");
    for (let i = 1; i <= 13; i++) {
      last = await server.send(
        "PATCH",
        `/api/v1/namespaces/default/configmaps/crowded?fieldManager=m${i}`,
        { data: { [`k${i}`]: "x" } },
        merge,
      );
    }
    expect(owners(last)).toHaveLength(10);
    const ancient = owners(last).find((entry) => entry.manager === "ancient-changes");
    expect(ancient?.fieldsV1).toMatchObject({ "f:data": { ".": {}, "f:k0": {}, "f:k1": {} } });
  });

  test.each([
    [
      "PUT",
      "UpdateOptions",
      { a: "x".repeat(129) },
      "fieldManager: Too long: may not be more than 128 bytes",
    ],
    [
      "POST",
      "CreateOptions",
      { a: "a\tb" },
      'fieldManager: Invalid value: "a\\tb": invalid character U+0009 (at position 1)',
    ],
  ])("%s refuses a manager nobody can print", async (method, kind, { a }, message) => {
    const path = method === "PUT" ? `${deployments}/made` : deployments;
    const answer = await server.send(
      method,
      `${path}?fieldManager=${encodeURIComponent(a)}`,
      deployment("made"),
    );
    expect([answer.status, answer.body.message]).toEqual([
      422,
      `${kind}.meta.k8s.io "" is invalid: ${message}`,
    ]);
  });
});
