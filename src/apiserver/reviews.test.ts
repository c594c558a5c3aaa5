import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { namespaces, serviceAccounts } from "#api";
import { startTestServer, type TestServer } from "./testing/start.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ tokens: [{ token: "static", username: "jane", groups: ["dev"] }] });
  const { client } = server;
  await client.create(namespaces, { metadata: { name: "default" } }).catch(() => {});
  await client.create(serviceAccounts, { metadata: { name: "robot", namespace: "default" } });
});
afterAll(() => server.stop());

const authentication = "/apis/authentication.k8s.io/v1";
const authorization = "/apis/authorization.k8s.io/v1";

async function tokenFor(audiences: string[]): Promise<string> {
  const path = "/api/v1/namespaces/default/serviceaccounts/robot/token";
  const { body } = await server.send("POST", path, { spec: { audiences } });
  return (body.status as { token: string }).token;
}

describe("who", () => {
  const review = async (spec: object) =>
    (await server.send("POST", `${authentication}/tokenreviews`, { spec })).body.status;

  it("am I", async () => {
    const answer = await server.send("POST", `${authentication}/selfsubjectreviews`, {});
    expect(answer).toMatchObject({
      status: 201,
      body: {
        kind: "SelfSubjectReview",
        apiVersion: "authentication.k8s.io/v1",
        status: { userInfo: { username: "admin", groups: ["system:masters", "system:authenticated"] } },
      },
    });
  });

  it("has this static token", async () => {
    const groups = ["dev", "system:authenticated"];
    expect(await review({ token: "static" })).toEqual({
      authenticated: true,
      user: { username: "jane", groups },
      audiences: ["https://kubernetes.default.svc.cluster.local"],
    });
  });

  it("has a service account's token: only for the audiences it was made for", async () => {
    const token = await tokenFor(["vault", "bank"]);
    expect(await review({ token, audiences: ["bank", "other"] })).toMatchObject({
      authenticated: true,
      user: { username: "system:serviceaccount:default:robot" },
      audiences: ["bank"],
    });
    const refused = { user: {}, error: "invalid bearer token" };
    expect(await review({ token })).toEqual(refused);
    expect(await review({ token, audiences: ["other"] })).toEqual(refused);
    expect(await review({ token: "static", audiences: ["other"] })).toEqual(refused);
    expect(await review({ token: await tokenFor([]) })).toMatchObject({ authenticated: true });
  });

  it("a token that is none, too long, or missing", async () => {
    for (const token of ["a.b.c", "x".repeat(100_000), "two words"]) {
      expect(await review({ token })).toEqual({ user: {}, error: "invalid bearer token" });
    }
    expect(await server.send("POST", `${authentication}/tokenreviews`, { spec: {} })).toMatchObject({
      status: 400,
      body: { message: "token is required for TokenReview in authentication" },
    });
  });
});

describe("may", () => {
  const resourceAttributes = { verb: "create", resource: "pods", namespace: "default" };
  const ask = (path: string, spec: object) => server.send("POST", `${authorization}${path}`, { spec });
  const local = "/namespaces/default/localsubjectaccessreviews";

  it("I", async () => {
    const answer = await ask("/selfsubjectaccessreviews", { resourceAttributes });
    expect(answer).toMatchObject({ status: 201, body: { status: { allowed: true } } });
    const all = await ask("/selfsubjectrulesreviews", { namespace: "default" });
    expect(all.body.status).toEqual({
      resourceRules: expect.arrayContaining([{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }]),
      nonResourceRules: expect.arrayContaining([{ verbs: ["*"], nonResourceURLs: ["*"] }]),
      incomplete: false,
    });
    expect(await ask("/selfsubjectrulesreviews", {})).toMatchObject({ status: 400 });
  });

  it.each(["/subjectaccessreviews", local])("somebody: %s", async (path) => {
    const jane = { user: "jane", groups: ["system:masters"], resourceAttributes };
    expect((await ask(path, jane)).body.status).toEqual({ allowed: true });
    const nobody = { user: "system:anonymous", groups: ["system:unauthenticated"], resourceAttributes };
    expect((await ask(path, nobody)).body.status).toEqual({ allowed: false });
  });

  it("nobody ask whether the server is well", async () => {
    const nobody = { user: "system:anonymous", groups: ["system:unauthenticated"] };
    for (const [verb, allowed] of [
      ["get", true],
      ["post", false],
    ] as const) {
      const spec = { ...nobody, nonResourceAttributes: { verb, path: "/healthz" } };
      expect((await ask("/subjectaccessreviews", spec)).body.status).toMatchObject({ allowed });
    }
  });

  it.each([
    ["/selfsubjectaccessreviews", {}, "exactly one of nonResourceAttributes or resourceAttributes"],
    ["/selfsubjectaccessreviews", { resourceAttributes, nonResourceAttributes: {} }, "in combination with"],
    ["/subjectaccessreviews", { resourceAttributes }, "at least one of user or group must be specified"],
    [local, { user: "u", nonResourceAttributes: { path: "/" } }, "disallowed on this kind of request"],
    [local, { user: "u", resourceAttributes: { namespace: "other" } }, "must match metadata.namespace"],
  ])("%s refuses %j", async (path, spec, why) => {
    const answer = await ask(path, spec);
    expect(answer.status).toBe(422);
    expect(answer.body.message).toContain(why);
  });
});

it("nothing of it is kept, listed or changed", async () => {
  const path = `${authorization}/selfsubjectaccessreviews`;
  for (const [method, name] of [
    ["GET", ""],
    ["GET", "/x"],
    ["PUT", "/x"],
    ["DELETE", "/x"],
    ["DELETE", ""],
    ["PATCH", "/x"],
  ] as const) {
    const answer = await server.send(method, path + name);
    expect([method, name, answer.status]).toEqual([method, name, 405]);
  }
  expect((await server.send("GET", `${path}?watch=true`)).status).toBe(405);
});
