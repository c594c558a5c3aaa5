/** Admission webhooks change and refuse what is written, as their configurations say. */
import { expect } from "vitest";
import {
  type admissionregistrationv1,
  configMaps,
  customResourceDefinitions,
  type Draft,
  mutatingWebhookConfigurations,
  namespaces,
  pods,
  validatingWebhookConfigurations,
} from "#api";
import { eventually } from "../../eventually.ts";
import { expectDiscovered } from "../life-cycle.ts";
import { podSpec } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import { allow, deny, type Hook, patch, serveWebhook } from "../webhook-server.ts";

type Webhook = Draft<admissionregistrationv1.MutatingWebhook>;

const anyConfigMap = [
  { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE", "UPDATE"], resources: ["configmaps"] },
];

/** Only this test's own namespace is concerned. */
function webhook({ namespace }: Given, { clientConfig }: Hook, more: Webhook = {}): Webhook {
  return {
    name: "e2e.conformance.example.com",
    clientConfig,
    rules: anyConfigMap,
    sideEffects: "None",
    admissionReviewVersions: ["v1", "v1beta1"],
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
    ...more,
  };
}

const mutating = (given: Given, ...webhooks: Webhook[]) =>
  given.kube
    .resource(mutatingWebhookConfigurations)
    .create({ metadata: { name: given.unique("mutating") }, webhooks } as never);
const validating = (given: Given, ...webhooks: Webhook[]) =>
  given.kube
    .resource(validatingWebhookConfigurations)
    .create({ metadata: { name: given.unique("validating") }, webhooks } as never);

async function cleaned(given: Given, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } finally {
    for (const type of [mutatingWebhookConfigurations, validatingWebhookConfigurations]) {
      const all = given.kube.resource(type as typeof mutatingWebhookConfigurations);
      for (const { metadata } of (await all.list()).items)
        if (metadata.name?.startsWith(given.namespace)) await all.delete(metadata.name);
    }
  }
}

/** Configurations take a moment to count: a dry run asks until they do. */
function untilAnswered(
  given: Given,
  wanted: (data: Record<string, string> | undefined) => boolean,
  data: Record<string, string> = {},
) {
  return eventually("the webhook's answer", async () => {
    const maps = given.kube.resource(configMaps, given.namespace);
    const made = await maps
      .create({ metadata: { generateName: "try-" }, data: { try: "it", ...data } }, { dryRun: "All" })
      .catch(() => undefined);
    return wanted(made?.data) ? true : undefined;
  });
}

const add = (key: string) => ({ op: "add", path: `/data/${key}`, value: "yes" });
const many = Array.from({ length: 10 }, (_, i) => i);

conformance("api-machinery-72c66f", "Webhook configurations stand in discovery", ({ kube }) =>
  expectDiscovered(kube, { group: "admissionregistration.k8s.io", version: "v1" }, [
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
  ]),
);

conformance("api-machinery-781407", "Mutating webhooks are listed and deleted together", (given) =>
  cleaned(given, async () => {
    const { kube, namespace, unique } = given;
    const all = kube.resource(mutatingWebhookConfigurations);
    const hook = await serveWebhook(given, () => patch(add("mutated")));
    const labels = { "e2e-list": namespace };
    for (const i of many)
      await all.create({
        metadata: { name: unique(`list-${i}`), labels },
        webhooks: [webhook(given, hook)],
      } as never);
    const labelSelector = `e2e-list=${namespace}`;
    expect((await all.list({ labelSelector })).items).toHaveLength(10);
    await untilAnswered(given, (data) => data?.mutated === "yes");
    await all.deleteCollection({ labelSelector });
    expect((await all.list({ labelSelector })).items).toEqual([]);
    await untilAnswered(given, (data) => data?.try === "it" && !data.mutated);
  }),
);

conformance("api-machinery-ad6e12", "Validating webhooks are listed and deleted together", (given) =>
  cleaned(given, async () => {
    const { kube, namespace, unique } = given;
    const all = kube.resource(validatingWebhookConfigurations);
    const hook = await serveWebhook(given, () => deny("never"));
    const labels = { "e2e-list": namespace };
    for (const i of many)
      await all.create({
        metadata: { name: unique(`list-${i}`), labels },
        webhooks: [webhook(given, hook)],
      } as never);
    const labelSelector = `e2e-list=${namespace}`;
    expect((await all.list({ labelSelector })).items).toHaveLength(10);
    await untilAnswered(given, (data) => data === undefined);
    await all.deleteCollection({ labelSelector });
    await untilAnswered(given, (data) => data?.try === "it");
  }),
);

conformance("api-machinery-77c953", "A mutating webhook is updated and patched", (given) =>
  cleaned(given, async () => {
    const { kube, unique } = given;
    const hook = await serveWebhook(given, () => patch(add("mutated")));
    await mutating(given, webhook(given, hook));
    await untilAnswered(given, (data) => data?.mutated === "yes");
    const all = kube.resource(mutatingWebhookConfigurations);
    await all.update(unique("mutating"), ({ webhooks }) => {
      webhooks![0]!.rules![0]!.operations = ["UPDATE"];
    });
    await untilAnswered(given, (data) => data?.try === "it" && !data.mutated);
    await all.patch(unique("mutating"), "json", [
      { op: "replace", path: "/webhooks/0/rules/0/operations/0", value: "CREATE" },
    ]);
    await untilAnswered(given, (data) => data?.mutated === "yes");
  }),
);

conformance("api-machinery-cdf98b", "A validating webhook is updated and patched", (given) =>
  cleaned(given, async () => {
    const { kube, unique } = given;
    const hook = await serveWebhook(given, () => deny("not now"));
    await validating(given, webhook(given, hook));
    await untilAnswered(given, (data) => data === undefined);
    const all = kube.resource(validatingWebhookConfigurations);
    await all.update(unique("validating"), ({ webhooks }) => {
      webhooks![0]!.rules![0]!.operations = ["UPDATE"];
    });
    await untilAnswered(given, (data) => data?.try === "it");
    await all.patch(unique("validating"), "json", [
      { op: "replace", path: "/webhooks/0/rules/0/operations/0", value: "CREATE" },
    ]);
    await untilAnswered(given, (data) => data === undefined);
  }),
);

const conditions = (expression: string) => [{ name: "expression-1", expression }];

for (const [id, type, name] of [
  ["api-machinery-d39135", mutatingWebhookConfigurations, "mutating"],
  ["api-machinery-76681b", validatingWebhookConfigurations, "validating"],
] as const)
  conformance(id, `The match conditions of a ${name} webhook are kept`, (given) =>
    cleaned(given, async () => {
      const hook = await serveWebhook(given, () => allow);
      const all = given.kube.resource(type as typeof mutatingWebhookConfigurations);
      const created = webhook(given, hook, {
        matchConditions: conditions("object.metadata.namespace == 'production'"),
      });
      await (name === "mutating" ? mutating : validating)(given, created);
      expect((await all.get(given.unique(name))).webhooks?.[0]?.matchConditions).toEqual(
        created.matchConditions,
      );
      const changed = conditions("object.metadata.namespace == 'staging'");
      await all.update(given.unique(name), ({ webhooks }) => {
        webhooks![0]!.matchConditions = changed;
      });
      expect((await all.get(given.unique(name))).webhooks?.[0]?.matchConditions).toEqual(changed);
    }),
  );

for (const [id, name] of [
  ["api-machinery-809787", "mutating"],
  ["api-machinery-001dac", "validating"],
] as const)
  conformance(id, `A ${name} webhook with a broken match condition is refused`, (given) =>
    cleaned(given, async () => {
      const hook = await serveWebhook(given, () => allow);
      const broken = webhook(given, hook, { matchConditions: conditions("... [] bad expression") });
      const attempt = (name === "mutating" ? mutating : validating)(given, broken);
      await expect(attempt).rejects.toThrow(/compilation failed/);
    }),
  );

conformance("api-machinery-83074f", "A match condition spares objects of one name", (given) =>
  cleaned(given, async () => {
    const { kube, namespace } = given;
    const hook = await serveWebhook(given, () => patch(add("mutated")));
    await mutating(
      given,
      webhook(given, hook, { matchConditions: conditions("object.metadata.name != 'skip-me'") }),
    );
    await untilAnswered(given, (data) => data?.mutated === "yes");
    const maps = kube.resource(configMaps, namespace);
    expect((await maps.create({ metadata: { name: "skip-me" }, data: { a: "b" } })).data).toEqual({ a: "b" });
    expect((await maps.create({ metadata: { name: "mutate-me" }, data: { a: "b" } })).data).toEqual({
      a: "b",
      mutated: "yes",
    });
  }),
);

conformance("api-machinery-cf2bd8", "A webhook forbids to attach to a pod", (given) =>
  cleaned(given, async () => {
    const { kube, namespace, image } = given;
    const hook = await serveWebhook(given, () => deny("attaching is forbidden"));
    await kube
      .resource(pods, namespace)
      .create({ metadata: { name: "to-be-attached" }, spec: podSpec(image) });
    await kube.resource(pods, namespace).until("to-be-attached", (pod) => pod.status?.phase === "Running");
    const rules = [
      { apiGroups: [""], apiVersions: ["v1"], operations: ["CONNECT"], resources: ["pods/attach"] },
    ];
    await validating(given, webhook(given, hook, { rules }));
    await eventually("the refusal", async () => {
      const { code, stderr } = await given.kubectl.try(
        ["attach", "-n", namespace, "to-be-attached", "--pod-running-timeout=5s"],
        { timeoutMs: 5_000 },
      );
      return code !== 0 && stderr.includes("attaching is forbidden") ? true : undefined;
    });
  }),
);

conformance("api-machinery-f70751", "A webhook forbids pods and config maps that it does not like", (given) =>
  cleaned(given, async () => {
    const { kube, namespace, image, unique } = given;
    const hook = await serveWebhook(given, ({ object }) => {
      if (object?.metadata.name === "hanging") return new Promise(() => {});
      const isBad =
        object?.data?.["webhook-e2e-test"] === "webhook-disallow" || object?.metadata.name === "disallowed";
      return isBad ? deny("it has unwanted data") : allow;
    });
    const rules = [...anyConfigMap, { ...anyConfigMap[0]!, resources: ["pods"] }];
    const excluded = [{ key: "skip-webhook-admission", operator: "NotIn" as const, values: ["yes"] }];
    const own = [{ key: "e2e-webhooks", operator: "In" as const, values: [namespace] }];
    await kube
      .resource(namespaces)
      .patch(namespace, "merge", { metadata: { labels: { "e2e-webhooks": namespace } } });
    const namespaceSelector = { matchExpressions: [...own, ...excluded] };
    await validating(given, webhook(given, hook, { rules, namespaceSelector, timeoutSeconds: 5 }));
    const maps = kube.resource(configMaps, namespace);
    const bad = { "webhook-e2e-test": "webhook-disallow" };
    await untilAnswered(given, (data) => data === undefined, bad);
    await expect(maps.create({ metadata: { name: "bad" }, data: bad })).rejects.toThrow(
      /denied the request: it has unwanted data/,
    );
    await expect(
      kube.resource(pods, namespace).create({ metadata: { name: "disallowed" }, spec: podSpec(image) }),
    ).rejects.toThrow(/unwanted data/);
    await expect(
      kube.resource(pods, namespace).create({ metadata: { name: "hanging" }, spec: podSpec(image) }),
    ).rejects.toThrow(/deadline|timeout/i);
    await maps.create({ metadata: { name: "good" }, data: { good: "yes" } });
    await expect(maps.update("good", (map) => Object.assign(map.data!, bad))).rejects.toThrow(
      /unwanted data/,
    );
    await expect(maps.patch("good", "merge", { data: bad })).rejects.toThrow(/unwanted data/);
    const skipped = unique("skipped");
    const labels = { "e2e-webhooks": namespace, "skip-webhook-admission": "yes" };
    await kube.resource(namespaces).create({ metadata: { name: skipped, labels } });
    await kube.resource(configMaps, skipped).create({ metadata: { name: "bad" }, data: bad });
    await kube.resource(namespaces).delete(skipped);
  }),
);

conformance("api-machinery-752045", "A webhook forbids a CustomResourceDefinition", (given) =>
  cleaned(given, async () => {
    const { kube, namespace } = given;
    const hook = await serveWebhook(given, () => deny("the crd contains unwanted label"));
    const rules = [
      {
        apiGroups: ["apiextensions.k8s.io"],
        apiVersions: ["*"],
        operations: ["CREATE"],
        resources: ["customresourcedefinitions"],
      },
    ];
    const objectSelector = { matchLabels: { "e2e-forbidden": namespace } };
    await validating(given, webhook(given, hook, { rules, objectSelector, namespaceSelector: {} }));
    const group = `${namespace}.example.com`;
    const draft = {
      metadata: { name: `things.${group}`, labels: { "e2e-forbidden": namespace } },
      spec: {
        group,
        scope: "Cluster",
        names: { plural: "things", singular: "thing", kind: "Thing" },
        versions: [
          { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } },
        ],
      },
    };
    const all = kube.resource(customResourceDefinitions);
    await eventually("the refusal", () =>
      all.create(draft as never, { dryRun: "All" }).then(
        () => undefined,
        () => Promise.resolve(true),
      ),
    );
    await expect(all.create(draft as never)).rejects.toThrow(/the crd contains unwanted label/);
  }),
);

conformance("api-machinery-6d8559", "A webhook may take as long as its configuration says", (given) =>
  cleaned(given, async () => {
    const { kube, namespace } = given;
    const slow = 5_000;
    const hook = await serveWebhook(given, async () => {
      await new Promise((resolve) => setTimeout(resolve, slow));
      return allow;
    });
    const maps = kube.resource(configMaps, namespace);
    const attempt = async (more: Webhook): Promise<string> => {
      await validating(given, webhook(given, hook, more));
      const result = await maps.create({ metadata: { generateName: "slow-" } }).then(
        () => "stored",
        (error: Error) => error.message,
      );
      await kube.resource(validatingWebhookConfigurations).delete(given.unique("validating"));
      return result;
    };
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await attempt({ timeoutSeconds: 1, failurePolicy: "Fail" })).toMatch(/deadline|timeout/i);
    expect(await attempt({ timeoutSeconds: 1, failurePolicy: "Ignore" })).toBe("stored");
    expect(await attempt({ timeoutSeconds: 10, failurePolicy: "Fail" })).toBe("stored");
    expect(await attempt({ failurePolicy: "Fail" })).toBe("stored");
  }),
);

conformance("api-machinery-4b8dc2", "Mutating webhooks see what those before them have changed", (given) =>
  cleaned(given, async () => {
    const { kube, namespace } = given;
    const stages = await serveWebhook(given, ({ object }) => {
      const data = object?.data ?? {};
      if (data["mutation-start"] === "yes" && !data["mutation-stage-1"])
        return patch(add("mutation-stage-1"));
      if (data["mutation-stage-1"] === "yes") return patch(add("mutation-stage-2"));
      return allow;
    });
    const names = ["first.conformance.example.com", "second.conformance.example.com"];
    await mutating(given, ...names.map((name) => webhook(given, stages, { name })));
    await untilAnswered(given, (data) => data?.["mutation-stage-1"] === "yes", { "mutation-start": "yes" });
    const made = await kube
      .resource(configMaps, namespace)
      .create({ metadata: { name: "staged" }, data: { "mutation-start": "yes" } });
    expect(made.data).toEqual({
      "mutation-start": "yes",
      "mutation-stage-1": "yes",
      "mutation-stage-2": "yes",
    });
  }),
);

conformance("api-machinery-1a771c", "What a webhook adds gets its defaults", (given) =>
  cleaned(given, async () => {
    const { kube, namespace, image } = given;
    const container = { name: "webhook-added-init-container", image, resources: {} };
    const hook = await serveWebhook(given, () =>
      patch({ op: "add", path: "/spec/initContainers", value: [container] }),
    );
    const rules = [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }];
    await mutating(given, webhook(given, hook, { rules }));
    const made = await eventually("the init container", async () => {
      const draft = { metadata: { generateName: "webhook-to-be-mutated-" }, spec: podSpec(image) };
      const pod = await kube.resource(pods, namespace).create(draft, { dryRun: "All" });
      return pod.spec.initContainers?.length ? pod : undefined;
    });
    expect(made.spec.initContainers).toMatchObject([
      { name: container.name, terminationMessagePolicy: "File" },
    ]);
  }),
);

conformance("api-machinery-92e254", "Webhooks have no say about webhook configurations", (given) =>
  cleaned(given, async () => {
    const { kube, unique } = given;
    const refusing = await serveWebhook(given, () => deny("configurations are mine"));
    const changing = await serveWebhook(given, () =>
      patch({ op: "add", path: "/metadata/labels", value: { mutated: "yes" } }),
    );
    const rules = [
      {
        apiGroups: ["admissionregistration.k8s.io"],
        apiVersions: ["*"],
        operations: ["*"],
        resources: ["*"],
      },
    ];
    const objectSelector = { matchLabels: { "e2e-victim": given.namespace } };
    const more = { rules, objectSelector, namespaceSelector: {} };
    await validating(given, webhook(given, refusing, more));
    await mutating(given, webhook(given, changing, more));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const labels = { "e2e-victim": given.namespace };
    const victims = [
      kube.resource(validatingWebhookConfigurations),
      kube.resource(mutatingWebhookConfigurations) as never,
    ] as ReturnType<typeof kube.resource<admissionregistrationv1.ValidatingWebhookConfiguration>>[];
    for (const all of victims) {
      const webhooks = [webhook(given, refusing, { rules: [] })];
      const made = await all.create({ metadata: { name: unique("victim"), labels }, webhooks } as never);
      expect(made.metadata.labels).toEqual(labels);
      await all.delete(unique("victim"));
    }
  }),
);

conformance(
  "api-machinery-167c1d",
  "A webhook that cannot be called and must be fails the request",
  (given) =>
    cleaned(given, async () => {
      const { kube, namespace } = given;
      const hook = await serveWebhook(given, () => allow);
      const clientConfig = { url: hook.clientConfig.url };
      await validating(given, webhook(given, { clientConfig } as Hook, { failurePolicy: "Fail" }));
      await untilAnswered(given, (data) => data === undefined);
      const attempt = kube.resource(configMaps, namespace).create({ metadata: { name: "closed" } });
      await expect(attempt).rejects.toThrow(/failed calling webhook/);
    }),
);
