/** Admission policies in CEL: as objects of the API, and what they do to Deployments. */
import { expect } from "vitest";
import {
  type admissionregistrationv1,
  type Draft,
  deployments,
  type KubernetesObject,
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  namespaces,
  type ResourceType,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
} from "#api";
import { eventually } from "../../eventually.ts";
import { AnswerError } from "../kube.ts";
import { livesThroughEveryVerb, statusIsItsOwn } from "../life-cycle.ts";
import { podTemplate } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";

const matchConstraints: Draft<admissionregistrationv1.MatchResources> = {
  resourceRules: [
    {
      apiGroups: ["apps"],
      apiVersions: ["v1"],
      operations: ["CREATE", "UPDATE"],
      resources: ["deployments"],
    },
  ],
};

const validation = (expression: string, more: object = {}) => ({
  failurePolicy: "Fail" as const,
  matchConstraints,
  validations: [{ expression, ...more }],
});

const applied = (expression: string) => ({
  failurePolicy: "Fail" as const,
  reinvocationPolicy: "Never" as const,
  matchConstraints,
  mutations: [{ patchType: "ApplyConfiguration" as const, applyConfiguration: { expression } }],
});

conformance(
  "api-machinery-660a6d",
  "ValidatingAdmissionPolicies support every operation of the API",
  async (given) => {
    const { kube, unique, afterwards } = given;
    const make = () => ({ spec: validation("object.spec.replicas <= 100") });
    await livesThroughEveryVerb(kube, {
      type: validatingAdmissionPolicies,
      name: (index) => unique(`policy-${index}`),
      make,
      subresources: ["validatingadmissionpolicies/status"],
    });
    const all = kube.resource(validatingAdmissionPolicies);
    const name = unique("status");
    afterwards(async () => (await all.find(name)) && all.delete(name));
    await all.create({ metadata: { name }, ...make() });
    const condition = {
      status: "True",
      reason: "Test",
      message: "Set from an e2e test",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    };
    await statusIsItsOwn(
      all,
      name,
      { conditions: [{ type: "StatusPatched", ...condition }] },
      (status) => {
        status.conditions = [{ type: "StatusUpdated", ...condition }];
      },
      { takesMetadata: false },
    );
  },
);

conformance(
  "api-machinery-8dac1c",
  "ValidatingAdmissionPolicyBindings support every operation of the API",
  ({ kube, unique }) =>
    livesThroughEveryVerb(kube, {
      type: validatingAdmissionPolicyBindings,
      name: (index) => unique(`binding-${index}`),
      make: () => ({ spec: { policyName: "nobody-s", validationActions: ["Deny"] } }),
    }),
);

conformance(
  "api-machinery-1e3d01",
  "MutatingAdmissionPolicies support every operation of the API",
  ({ kube, unique }) =>
    livesThroughEveryVerb(kube, {
      type: mutatingAdmissionPolicies,
      name: (index) => unique(`policy-${index}`),
      make: () => ({ spec: applied('Object{metadata: Object.metadata{labels: {"a": "b"}}}') }),
    }),
);

conformance(
  "api-machinery-be8d63",
  "MutatingAdmissionPolicyBindings support every operation of the API",
  ({ kube, unique }) =>
    livesThroughEveryVerb(kube, {
      type: mutatingAdmissionPolicyBindings,
      name: (index) => unique(`binding-${index}`),
      make: () => ({ spec: { policyName: "nobody-s" } }),
    }),
);

/** The policy holds for namespaces with this test's label: its own. */
async function bind<P extends KubernetesObject, B extends KubernetesObject>(
  given: Given,
  [policies, bindings]: [ResourceType<P>, ResourceType<B>],
  spec: object,
  bound: object,
): Promise<void> {
  const { kube, namespace, unique, afterwards } = given;
  const name = unique("policy");
  await kube.resource(namespaces).patch(namespace, "merge", { metadata: { labels: { [name]: "true" } } });
  const matchResources = { namespaceSelector: { matchLabels: { [name]: "true" } } };
  for (const [type, object] of [
    [policies, { spec }],
    [bindings, { spec: { policyName: name, matchResources, ...bound } }],
  ] as const) {
    const all = kube.resource(type as ResourceType);
    await all.create({ metadata: { name }, ...object } as never);
    afterwards(async () => (await all.find(name)) && all.delete(name));
  }
}

const validating = (given: Given, spec: object) =>
  bind(given, [validatingAdmissionPolicies, validatingAdmissionPolicyBindings], spec, {
    validationActions: ["Deny"],
  });

const mutating = (given: Given, spec: object) =>
  bind(given, [mutatingAdmissionPolicies, mutatingAdmissionPolicyBindings], spec, {});

const labels = { app: "policy" };

function deployment({ image }: Given, name: string, replicas: number) {
  return {
    metadata: { name, labels: { ...labels } as Record<string, string> },
    spec: { replicas, selector: { matchLabels: labels }, template: podTemplate(image, labels) },
  };
}

/** Policies take a moment to count: a dry run asks until they do. */
function untilRefused(given: Given, draft: ReturnType<typeof deployment>): Promise<string> {
  const all = given.kube.resource(deployments, given.namespace);
  return eventually("the policy's refusal", async () => {
    try {
      await all.create(draft, { dryRun: "All" });
      return undefined;
    } catch (error) {
      if (!(error instanceof AnswerError)) throw error;
      expect(error.code).toBe(422);
      return error.status?.message;
    }
  });
}

conformance("api-machinery-76c147", "A ValidatingAdmissionPolicy refuses a Deployment", async (given) => {
  const messageExpression = "'wants more than one replica, not ' + string(object.spec.replicas)";
  await validating(given, validation("object.spec.replicas > 1", { messageExpression }));
  const all = given.kube.resource(deployments, given.namespace);
  const message = await untilRefused(given, deployment(given, "refused", 1));
  expect(message).toContain("denied request: wants more than one replica, not 1");
  const created = await all.create(deployment(given, "allowed", 2));
  expect(created.spec?.replicas).toBe(2);
  await expect(all.patch("allowed", "merge", { spec: { replicas: 1 } })).rejects.toMatchObject({ code: 422 });
});

conformance("api-machinery-a31d43", "The expressions of a policy refer to variables", async (given) => {
  await validating(given, {
    ...validation("variables.replicas > 1"),
    variables: [
      { name: "replicas", expression: "object.spec.replicas" },
      { name: "oddReplicas", expression: "variables.replicas % 2 == 1" },
    ],
    validations: [
      { expression: "variables.replicas > 1", message: "too few" },
      { expression: "variables.oddReplicas", message: "not odd" },
    ],
  });
  expect(await untilRefused(given, deployment(given, "few", 1))).toContain("too few");
  expect(await untilRefused(given, deployment(given, "even", 2))).toContain("not odd");
  const all = given.kube.resource(deployments, given.namespace);
  expect((await all.create(deployment(given, "odd", 3))).spec?.replicas).toBe(3);
});

/** Asks by dry runs until the policy counts; answers what a Deployment became. */
function untilMutated(
  given: Given,
  draft: ReturnType<typeof deployment>,
  isMutated: (made: KubernetesObject) => boolean,
) {
  const all = given.kube.resource(deployments, given.namespace);
  return eventually("the policy's mutation", async () => {
    const made = await all.create(draft, { dryRun: "All" });
    return isMutated(made) ? all.create(draft) : undefined;
  });
}

conformance("api-machinery-151bb0", "A MutatingAdmissionPolicy changes a Deployment", async (given) => {
  await mutating(given, applied("Object{spec: Object.spec{replicas: object.spec.replicas + 1}}"));
  const draft = deployment(given, "mutated", 0);
  const made = await untilMutated(
    given,
    draft,
    (object) => (object as { spec?: { replicas?: number } }).spec?.replicas === 1,
  );
  expect(made.spec?.replicas).toBe(1);
  expect(made.spec?.selector).toEqual({ matchLabels: labels });
});

conformance(
  "api-machinery-253f22",
  "A MutatingAdmissionPolicy adds annotations to a Deployment",
  async (given) => {
    const expression = `[
    JSONPatch{op: "add", path: "/metadata/annotations", value: {"my-foo-annotation": "myAnnotationValue"}},
  ]`;
    await mutating(given, {
      ...applied(""),
      mutations: [
        { patchType: "JSONPatch", jsonPatch: { expression: expression.replace(",\n  ]", "\n  ]") } },
      ],
    });
    const wanted = { "my-foo-annotation": "myAnnotationValue" };
    const made = await untilMutated(given, deployment(given, "mutated", 0), ({ metadata }) =>
      Boolean(metadata.annotations?.["my-foo-annotation"]),
    );
    expect(made.metadata.annotations).toEqual(wanted);
  },
);
