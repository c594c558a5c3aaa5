/** Admission policies and match conditions, on a server. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  configMaps,
  type KubernetesObject,
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  namespaces,
  type ResourceType,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
} from "#api";
import { startTestServer, type TestServer } from "../testing/start.ts";

let api: TestServer;

beforeAll(async () => {
  api = await startTestServer();
  await api.client.create(namespaces, { metadata: { name: "test", labels: { tier: "prod" } } });
});
afterAll(() => api.stop());
afterEach(async () => {
  for (const type of [
    validatingAdmissionPolicies,
    validatingAdmissionPolicyBindings,
    mutatingAdmissionPolicies,
    mutatingAdmissionPolicyBindings,
  ])
    await api.client.deleteCollection(type as unknown as ResourceType, {});
  await api.client.deleteCollection(configMaps, { namespace: "test" });
});

const matchConstraints = {
  resourceRules: [
    {
      apiGroups: ["", "apps"],
      apiVersions: ["v1"],
      operations: ["CREATE", "UPDATE"],
      resources: ["configmaps", "deployments"],
    },
  ],
};
const group = "/apis/admissionregistration.k8s.io/v1";
const name = "policy";
const metadata = { name };

const validate = async (spec: object, binding: object = {}) => {
  const policy = await api.send("POST", `${group}/validatingadmissionpolicies`, {
    metadata,
    spec: { matchConstraints, ...spec },
  });
  if (policy.status !== 201) return policy;
  return api.send("POST", `${group}/validatingadmissionpolicybindings`, {
    metadata,
    spec: { policyName: name, validationActions: ["Deny"], ...binding },
  });
};
const mutate = async (spec: object) => {
  const whole = { matchConstraints, failurePolicy: "Fail", reinvocationPolicy: "Never", ...spec };
  const policy = await api.send("POST", `${group}/mutatingadmissionpolicies`, { metadata, spec: whole });
  if (policy.status !== 201) return policy;
  return api.send("POST", `${group}/mutatingadmissionpolicybindings`, {
    metadata,
    spec: { policyName: name },
  });
};
const create = (of: string, data: Record<string, string> = { k: "v" }) =>
  api.send("POST", "/api/v1/namespaces/test/configmaps", { metadata: { name: of }, data });

describe("a validating policy", () => {
  it("refuses with a message of its own, or says what failed", async () => {
    await validate({
      variables: [{ name: "size", expression: "size(object.data)" }],
      validations: [
        { expression: "variables.size < 3", messageExpression: "'too many: ' + string(variables.size)" },
        { expression: "object.metadata.name != 'bad'", reason: "Forbidden" },
      ],
    });
    expect((await create("good")).status).toBe(201);
    expect(await create("big", { a: "1", b: "2", c: "3" })).toMatchObject({
      status: 422,
      body: {
        reason: "Invalid",
        message: `configmaps "big" is forbidden: ValidatingAdmissionPolicy 'policy' with binding 'policy' denied request: too many: 3`,
      },
    });
    expect(await create("bad")).toMatchObject({
      status: 403,
      body: { message: expect.stringContaining("failed expression: object.metadata.name != 'bad'") },
    });
  });

  it("warns instead, where its binding says so", async () => {
    await validate(
      { validations: [{ expression: "false", message: "not nice" }] },
      { validationActions: ["Warn"] },
    );
    const answer = await create("warned");
    expect(answer.status).toBe(201);
    expect(answer.headers.warning).toContain(
      "Validation failed for ValidatingAdmissionPolicy 'policy' with binding 'policy': not nice",
    );
  });

  it("knows the old object, the request, the namespace and what the user may do", async () => {
    await validate({
      validations: [
        { expression: "request.operation == 'CREATE' || oldObject.data.k == 'v'" },
        { expression: "namespaceObject.metadata.labels.tier == 'prod'" },
        { expression: "request.userInfo.username == 'admin'" },
        {
          expression:
            "authorizer.group('').resource('configmaps').namespace('test').check('delete').allowed()",
        },
        { expression: "authorizer.requestResource.check('patch').allowed()" },
        {
          expression: "!authorizer.serviceAccount('test', 'nobody').path('/metrics').check('get').allowed()",
        },
      ],
    });
    expect((await create("knowing")).body.message).toBeUndefined();
    const merge = { "content-type": "application/merge-patch+json" };
    const patched = await api.send(
      "PATCH",
      "/api/v1/namespaces/test/configmaps/knowing",
      { data: { k: "w" } },
      merge,
    );
    expect(patched.status).toBe(200);
    const again = await api.send(
      "PATCH",
      "/api/v1/namespaces/test/configmaps/knowing",
      { data: { k: "x" } },
      merge,
    );
    expect(again.status).toBe(422);
  });

  it.each([
    ["Fail", 422],
    ["Ignore", 201],
  ])("whose expression fails: %s", async (failurePolicy, status) => {
    await validate({ failurePolicy, validations: [{ expression: "object.data.absent == 'x'" }] });
    const answer = await create("absent");
    expect(answer.status).toBe(status);
    if (status === 422)
      expect(answer.body.message).toContain(
        "expression 'object.data.absent == 'x'' resulted in error: no such key: absent",
      );
  });

  it("takes parameters of any kind", async () => {
    await api.client.create(configMaps, {
      metadata: { namespace: "test", name: "limits" },
      data: { max: "2" },
    });
    const spec = {
      paramKind: { apiVersion: "v1", kind: "ConfigMap" },
      validations: [{ expression: "size(object.data) <= int(params.data.max)" }],
    };
    const paramRef = { name: "limits", parameterNotFoundAction: "Deny" };
    await validate(spec, { paramRef });
    expect((await create("two", { a: "1", b: "2" })).status).toBe(201);
    expect((await create("three", { a: "1", b: "2", c: "3" })).status).toBe(422);
    await api.client.delete(configMaps, { namespace: "test", name: "limits" });
    expect((await create("none")).body.message).toContain(
      "no params found for policy binding with `Deny` parameterNotFoundAction",
    );
  });

  it("only where its conditions match", async () => {
    await validate({
      matchConditions: [{ name: "not-system", expression: "!object.metadata.name.startsWith('system')" }],
      validations: [{ expression: "false" }],
    });
    expect((await create("system-map")).status).toBe(201);
    expect((await create("other")).status).toBe(422);
  });

  it("is refused if it cannot be compiled", async () => {
    const broken = await validate({
      validations: [{ expression: "object.foo == = 1" }],
      matchConditions: [{ name: "c", expression: "1 + 1" }],
    });
    expect(broken.status).toBe(422);
    expect(broken.body.message).toContain(
      'spec.validations[0].expression: Invalid value: "object.foo == = 1": compilation failed: ERROR: <input>:1:',
    );
    expect(broken.body.message).toContain(
      'spec.matchConditions[0].expression: Invalid value: "1 + 1": must evaluate to bool',
    );
  });
});

describe("a mutating policy", () => {
  it("patches", async () => {
    const expression = `[JSONPatch{op: "add", path: "/data/" + jsonpatch.escapeKey("a/b"), value: "x"}].filter(p, !has(object.data.skip))`;
    await mutate({
      mutations: [{ patchType: "JSONPatch", jsonPatch: { expression: expression.replace("a/b", "ab") } }],
    });
    expect((await create("patched")).body).toMatchObject({ data: { k: "v", ab: "x" } });
    expect((await create("skipped", { skip: "1" })).body).toMatchObject({ data: { skip: "1" } });
  });

  it("applies a configuration, list maps and all", async () => {
    const expression = `Object{
      metadata: Object.metadata{labels: Object.metadata.labels{added: "yes"}},
      spec: Object.spec{replicas: object.spec.replicas + 1, template: Object.spec.template{spec: Object.spec.template.spec{
        containers: [Object.spec.template.spec.containers.item{name: "sidecar", image: "side:1"}]}}}}`;
    await mutate({ mutations: [{ patchType: "ApplyConfiguration", applyConfiguration: { expression } }] });
    const labels = { app: "web" };
    const spec = {
      replicas: 2,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } },
    };
    const answer = await api.send("POST", "/apis/apps/v1/namespaces/test/deployments", {
      metadata: { name: "web" },
      spec,
    });
    expect(answer.body.message).toBeUndefined();
    expect(answer.body).toMatchObject({
      metadata: { labels: { added: "yes" } },
      spec: {
        replicas: 3,
        template: {
          spec: { containers: [{ name: "c" }, { name: "sidecar", imagePullPolicy: "IfNotPresent" }] },
        },
      },
    });
  });

  it("that makes nonsense is refused, and says why", async () => {
    await mutate({
      mutations: [
        { patchType: "ApplyConfiguration", applyConfiguration: { expression: "Object{nonsense: 1}" } },
      ],
    });
    expect(await create("nonsense")).toMatchObject({
      status: 403,
      body: {
        message: expect.stringContaining(
          "policy 'policy' with binding 'policy' denied request: .nonsense: field not declared in schema",
        ),
      },
    });
  });
});

it("nothing is asked about policies themselves", async () => {
  const all = {
    resourceRules: [{ apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"] }],
  };
  await validate({ matchConstraints: all, validations: [{ expression: "false" }] });
  const other = await api.send("POST", `${group}/validatingadmissionpolicybindings`, {
    metadata: { name: "other" },
    spec: { policyName: name, validationActions: ["Audit"] },
  });
  expect(other.status).toBe(201);
  const kinds = (await api.client.list(validatingAdmissionPolicyBindings)).items as KubernetesObject[];
  expect(kinds).toHaveLength(2);
});
