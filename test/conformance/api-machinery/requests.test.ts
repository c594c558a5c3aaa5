/** How the API answers: pages, media types, versions, discovery. */
import { expect } from "vitest";
import { flowSchemas, type metav1, podTemplates, priorityLevelConfigurations } from "#api";
import { systemClock } from "#base";
import { eventually } from "../../eventually.ts";
import { livesThroughEveryVerb } from "../life-cycle.ts";
import { podTemplate } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";

interface Page {
  metadata: { continue?: string; remainingItemCount?: number; resourceVersion: string };
  items: { metadata: { name: string } }[];
}

const total = 400;

async function manyTemplates({ kube, namespace, image }: Given): Promise<string> {
  const all = kube.resource(podTemplates, namespace);
  const draft = { template: podTemplate(image, { app: "pages" }) };
  const names = Array.from({ length: total }, (_, i) => `template-${String(i).padStart(4, "0")}`);
  for (let i = 0; i < total; i += 20)
    await Promise.all(names.slice(i, i + 20).map((name) => all.create({ metadata: { name }, ...draft })));
  return all.path();
}

conformance("api-machinery-0f5740", "Lists come in pages of one moment", async (given) => {
  const path = await manyTemplates(given);
  const names: string[] = [];
  let token: string | undefined;
  let version = "";
  do {
    const page: Page = await given.kube.ask("GET", path, { query: { limit: 37, continue: token } });
    version ||= page.metadata.resourceVersion;
    expect(page.metadata.resourceVersion).toBe(version);
    expect(page.items.length).toBeLessThanOrEqual(37);
    names.push(...page.items.map(({ metadata }) => metadata.name));
    expect(page.metadata.remainingItemCount ?? 0).toBe(total - names.length);
    token = page.metadata.continue;
  } while (token);
  expect(names).toHaveLength(total);
  const whole: Page = await given.kube.ask("GET", path);
  expect(whole.items.map(({ metadata }) => metadata.name)).toEqual(names);
});

interface Expired extends metav1.Status {
  metadata: metav1.ListMeta;
}

/** As long as two compactions may take: clusters compact every five minutes what is older than that. */
const forgottenAfterMs = 11 * 60_000;

conformance(
  "api-machinery-d21ab9",
  "A list goes on, inconsistently, once its moment is forgotten",
  async (given) => {
    const path = await manyTemplates(given);
    const limit = 40;
    const first: Page = await given.kube.ask("GET", path, { query: { limit } });
    expect(first.metadata.remainingItemCount).toBe(total - limit);
    const refusal = await eventually(
      "the end of the page's moment",
      async () => {
        const query = { limit, continue: first.metadata.continue };
        const answer = await given.kube.send<Expired>("GET", path, { query });
        if (answer.code === 200) await systemClock.sleep(4_000);
        return answer.code === 200 ? undefined : answer;
      },
      forgottenAfterMs,
    );
    expect([refusal.code, refusal.body.reason]).toEqual([410, "Expired"]);
    const names = first.items.map(({ metadata }) => metadata.name);
    let token = refusal.body.metadata.continue;
    let version: string | undefined;
    while (token) {
      const page: Page = await given.kube.ask("GET", path, { query: { limit, continue: token } });
      version ??= page.metadata.resourceVersion;
      expect(page.metadata.resourceVersion).toBe(version);
      expect(page.items.length).toBeLessThanOrEqual(limit);
      names.push(...page.items.map(({ metadata }) => metadata.name));
      expect(page.metadata.remainingItemCount ?? 0).toBe(total - names.length);
      token = page.metadata.continue;
    }
    expect(version).not.toBe(first.metadata.resourceVersion);
    const whole: Page = await given.kube.ask("GET", path);
    expect(names).toEqual(whole.items.map(({ metadata }) => metadata.name));
  },
  { timeoutMs: forgottenAfterMs + 120_000 },
);

conformance("api-machinery-aff1c6", "What can be no table is answered with 406", async ({ kube }) => {
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const body = {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    spec: { resourceAttributes: { verb: "get", resource: "pods" } },
  };
  const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const answer = await kube.send<metav1.Status>("POST", path, { body, headers: { accept } });
  expect(answer.code).toBe(406);
});

conformance("api-machinery-2b4de8", "The server tells its version in whole numbers", async ({ kube }) => {
  const { major, minor } = await kube.ask<{ major: string; minor: string }>("GET", "/version");
  expect(major).toMatch(/^\d+$/);
  expect(minor).toMatch(/^\d+$/);
});

conformance("api-machinery-d55efd", "Every group prefers a version that it has", async ({ kube }) => {
  const { groups } = await kube.ask<metav1.APIGroupList>("GET", "/apis");
  expect(groups.length).toBeGreaterThan(10);
  for (const { name } of groups.filter((group) => !group.name.endsWith(".example.com"))) {
    const group = await kube.ask<metav1.APIGroup>("GET", `/apis/${name}`);
    expect(group.versions.map((each) => each.groupVersion)).toContain(group.preferredVersion?.groupVersion);
  }
});

conformance(
  "api-machinery-dae40a",
  "Every version of a group lists resources of its own",
  async ({ kube }) => {
    const { groups } = await kube.ask<metav1.APIGroupList>("GET", "/apis");
    for (const { versions, name } of groups.filter((group) => !group.name.endsWith(".example.com"))) {
      for (const { groupVersion, version } of versions) {
        expect(groupVersion).toBe(`${name}/${version}`);
        const list = await kube.ask<metav1.APIResourceList>("GET", `/apis/${groupVersion}`);
        expect(list.groupVersion).toBe(groupVersion);
        expect(list.resources.length).toBeGreaterThan(0);
        expect(list.resources.every((each) => each.name && each.kind)).toBe(true);
      }
    }
  },
);

interface AggregatedGroup {
  metadata: { name?: string };
  versions: { version: string; resources: { resource: string }[] }[];
}

/** What every cluster has, as `group/version/resource`. */
const builtIn = [
  "/v1/pods",
  "/v1/namespaces",
  "apps/v1/deployments",
  "batch/v1/jobs",
  "rbac.authorization.k8s.io/v1/roles",
];

async function aggregated({ kube }: Given, path: string, accept: string) {
  const answer = await kube.send<{ kind: string; items: AggregatedGroup[] }>("GET", path, {
    headers: { accept },
  });
  expect(answer.code).toBe(200);
  return answer;
}

const form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

async function everything(given: Given, accept: string): Promise<string[]> {
  const answers = await Promise.all(["/api", "/apis"].map((path) => aggregated(given, path, accept)));
  return answers.flatMap(({ body }) =>
    body.items.flatMap(({ metadata, versions }) =>
      versions.flatMap(({ version, resources }) =>
        resources.map(({ resource }) => `${metadata.name ?? ""}/${version}/${resource}`),
      ),
    ),
  );
}

conformance("api-machinery-1fac84", "Aggregated discovery names what every cluster has", async (given) => {
  expect(await everything(given, form)).toEqual(expect.arrayContaining(builtIn));
});

conformance("api-machinery-ad9db3", "Discovery answers in the form that is accepted", async (given) => {
  const first = await aggregated(given, "/apis", `${form},application/json`);
  expect(first.body.kind).toBe("APIGroupDiscoveryList");
  expect(first.headers["content-type"]).toContain("as=APIGroupDiscoveryList");
  expect((await aggregated(given, "/apis", "application/json")).body.kind).toBe("APIGroupList");
  expect(await everything(given, `${form},application/json`)).toEqual(expect.arrayContaining(builtIn));
});

conformance("api-machinery-aeb0ef", "FlowSchemas support every operation of the API", ({ kube, unique }) =>
  livesThroughEveryVerb(kube, {
    type: flowSchemas,
    name: (index) => unique(`flow-${index}`),
    subresources: ["flowschemas/status"],
    make: () => ({
      spec: {
        matchingPrecedence: 10_000,
        priorityLevelConfiguration: { name: "global-default" },
        distinguisherMethod: { type: "ByUser" },
        rules: [
          {
            subjects: [{ kind: "User", user: { name: "example-e2e-non-existent-user" } }],
            nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
          },
        ],
      },
    }),
  }),
);

conformance(
  "api-machinery-724aae",
  "PriorityLevelConfigurations support every operation of the API",
  ({ kube, unique }) =>
    livesThroughEveryVerb(kube, {
      type: priorityLevelConfigurations,
      name: (index) => unique(`level-${index}`),
      subresources: ["prioritylevelconfigurations/status"],
      make: () => ({
        spec: {
          type: "Limited",
          limited: { nominalConcurrencyShares: 2, limitResponse: { type: "Reject" } },
        },
      }),
    }),
);
