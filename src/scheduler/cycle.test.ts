import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { seededRandom } from "#base";
import { feasibleWanted, fitError, SchedulingCycle } from "./cycle.ts";
import { podInfoOf } from "./pod-info.ts";
import { defaultProfile } from "./profile.ts";
import { cacheOf, nodeOf, noKin, placeOf, podOf, trySchedule } from "./scheduler.fixture.ts";

const place = (pod: corev1.Pod, ...rest: Parameters<typeof cacheOf>) =>
  placeOf(trySchedule(pod, cacheOf(...rest)));

test("why no node will do, as upstream words it", () => {
  const nodes = [
    nodeOf("a", { taints: [{ key: "dedicated", value: "db", effect: "NoSchedule" }] }),
    nodeOf("b", { cpu: "1" }),
    nodeOf("c", { cpu: "1" }),
  ];
  const busy = [podOf("x", { nodeName: "b", cpu: "500m" })];
  expect(place(podOf("p", { cpu: "800m" }), nodes.slice(0, 2), busy)).toBe(
    "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s).",
  );
  expect(place(podOf("p"), [])).toBe("no nodes available to schedule pods");
  expect(fitError(1, new Map([["Too many pods", 1]]))).toContain("0/1 nodes are available: 1 Too many pods.");
});

test("taints, cordons, names, selectors and ports rule nodes out", () => {
  const taint: corev1.Taint = { key: "k", value: "v", effect: "NoSchedule" };
  const toleration = { key: "k", operator: "Equal", value: "v", effect: "NoSchedule" } as corev1.Toleration;
  expect(place(podOf("p", { tolerations: [toleration] }), [nodeOf("a", { taints: [taint] })])).toBe("a");
  expect(place(podOf("p"), [nodeOf("a", { unschedulable: true })])).toContain("1 node(s) were unschedulable");
  expect(
    place(podOf("p", { nodeSelector: { disk: "ssd" } }), [
      nodeOf("a"),
      nodeOf("b", { labels: { disk: "ssd" } }),
    ]),
  ).toBe("b");
  expect(place(podOf("p", { nodeSelector: { disk: "ssd" } }), [nodeOf("a")])).toContain(
    "1 node(s) didn't match Pod's node affinity/selector",
  );
  expect(
    place(
      podOf("p", { hostPort: 80 }),
      [nodeOf("a"), nodeOf("b")],
      [podOf("x", { hostPort: 80, nodeName: "a" })],
    ),
  ).toBe("b");
});

test("node affinity: required terms are alternatives, preferred ones weigh", () => {
  const zone = (value: string, operator = "In") => ({
    key: "zone",
    operator: operator as "In",
    values: [value],
  });
  const nodes = [
    nodeOf("a", { labels: { zone: "1" } }),
    nodeOf("b", { labels: { zone: "2" } }),
    nodeOf("c", { labels: { zone: "3" } }),
  ];
  const required = {
    nodeSelectorTerms: [{ matchExpressions: [zone("9")] }, { matchExpressions: [zone("2", "Gt")] }],
  };
  const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
  expect(place(podOf("p", { affinity }), nodes)).toBe("c");
  const preferred = [{ weight: 1, preference: { matchExpressions: [zone("2")] } }];
  const wish = { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: preferred } };
  expect(place(podOf("p", { affinity: wish }), nodes)).toBe("b");
});

test("the emptier node is chosen, and the one that has the image", () => {
  expect(
    place(podOf("p", { cpu: "1" }), [nodeOf("a"), nodeOf("b")], [podOf("x", { nodeName: "a", cpu: "2" })]),
  ).toBe("b");
  const image = { names: ["big:1"], sizeBytes: 900 * 1024 * 1024 };
  expect(place(podOf("p", { image: "big:1" }), [nodeOf("a"), nodeOf("b", { images: [image] })])).toBe("b");
});

test("hard spreading keeps the skew; a node without the label is out", () => {
  const spread = {
    topologyKey: "zone",
    maxSkew: 1,
    whenUnsatisfiable: "DoNotSchedule" as const,
    labelSelector: { matchLabels: { app: "w" } },
  };
  const nodes = ["1", "2", "3"].map((zone) => nodeOf(`n${zone}`, { labels: { zone } }));
  const pods = ["n1", "n2"].map((nodeName) => podOf(`on-${nodeName}`, { nodeName, labels: { app: "w" } }));
  const pod = podOf("p", { labels: { app: "w" }, topologySpreadConstraints: [spread] });
  expect(place(pod, nodes, pods)).toBe("n3");
  expect(place(pod, [...nodes.slice(0, 2), nodeOf("bare")], pods.slice(0, 1))).toBe("n2");
  expect(place(pod, [nodeOf("bare")])).toContain("(missing required label)");
});

test("pods of one Service spread over hosts without asking", () => {
  const nodes = ["a", "b", "c"].map((name) => nodeOf(name));
  const cache = cacheOf(nodes);
  const world = { ...noKin, kinSelector: () => ({ matchLabels: { app: "w" } }) };
  for (let i = 0; i < 9; i++) {
    const pod = podOf(`p${i}`, { labels: { app: "w" } });
    cache.setPod({ ...pod, spec: { ...pod.spec, nodeName: placeOf(trySchedule(pod, cache, world)) } });
  }
  expect(cache.nodes.map((node) => node.pods.size)).toEqual([3, 3, 3]);
});

test("affinity between pods: near, away, and kept away by those that are there", () => {
  const term = { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "db" } } };
  const rule = { requiredDuringSchedulingIgnoredDuringExecution: [term] };
  const nodes = [nodeOf("a"), nodeOf("b")];
  const db = podOf("db", { nodeName: "a", labels: { app: "db" } });
  expect(place(podOf("p", { affinity: { podAffinity: rule } }), nodes, [db])).toBe("a");
  expect(place(podOf("p", { affinity: { podAntiAffinity: rule } }), nodes, [db])).toBe("b");
  const loner = podOf("loner", { nodeName: "a", affinity: { podAntiAffinity: rule } });
  expect(place(podOf("p", { labels: { app: "db" } }), nodes, [loner])).toBe("b");
  const first = podOf("p", { labels: { app: "db" }, affinity: { podAffinity: rule } });
  expect(["a", "b"]).toContain(place(first, nodes));
  expect(place(podOf("p", { affinity: { podAffinity: rule } }), nodes)).toContain(
    "didn't match pod affinity rules",
  );
});

test("what pods that are there prefer counts for one that comes", () => {
  const term = { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "x" } } };
  const rule = { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: term }] };
  const nodes = [nodeOf("a"), nodeOf("b")];
  const newcomer = podOf("p", { labels: { app: "x" } });
  const fond = podOf("fond", { nodeName: "a", affinity: { podAffinity: rule } });
  expect(place(newcomer, nodes, [fond])).toBe("a");
  const averse = podOf("averse", { nodeName: "a", affinity: { podAntiAffinity: rule } });
  expect(place(newcomer, nodes, [averse])).toBe("b");
});

test("matchLabelKeys and mismatchLabelKeys compare with the pod's own labels", () => {
  const term = { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "x" } } };
  const nodes = [nodeOf("a"), nodeOf("b")];
  const there = [
    podOf("old", { nodeName: "a", labels: { app: "x", revision: "1" } }),
    podOf("new", { nodeName: "b", labels: { app: "x", revision: "2" } }),
  ];
  const labels = { app: "x", revision: "2" };
  const wish = (keys: object) => ({
    podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ ...term, ...keys }] },
  });
  expect(place(podOf("p", { labels, affinity: wish({ matchLabelKeys: ["revision"] }) }), nodes, there)).toBe(
    "b",
  );
  expect(
    place(podOf("p", { labels, affinity: wish({ mismatchLabelKeys: ["revision"] }) }), nodes, there),
  ).toBe("a");
});

test("in a large cluster a sample is enough", () => {
  expect(feasibleWanted(50)).toBe(50);
  expect(feasibleWanted(1000)).toBe(420);
  expect(feasibleWanted(100_000)).toBe(5000);
});

test("no node is ever overcommitted, and no pod waits that would fit", () => {
  const size = fc.integer({ min: 1, max: 4 });
  fc.assert(
    fc.property(
      fc.array(size, { minLength: 1, maxLength: 4 }),
      fc.array(size, { maxLength: 20 }),
      (cpus, wants) => {
        const cache = cacheOf(cpus.map((cpu, i) => nodeOf(`n${i}`, { cpu: String(cpu), pods: "5" })));
        wants.forEach((cpu, i) => {
          const pod = podOf(`p${i}`, { cpu: String(cpu) });
          const result = trySchedule(pod, cache);
          const fits = cache.nodes.some(
            (node) => node.pods.size < 5 && node.requested.milliCpu + cpu * 1000 <= node.allocatable.milliCpu,
          );
          expect(result.kind === "node").toBe(fits);
          if (result.kind === "node") cache.setPod({ ...pod, spec: { ...pod.spec, nodeName: result.name } });
        });
        for (const node of cache.nodes)
          expect(node.requested.milliCpu).toBeLessThanOrEqual(node.allocatable.milliCpu);
      },
    ),
  );
});

const inZones = () => ["x", "x", "y"].map((zone, i) => nodeOf(`n${i}`, { labels: { zone } }));

test("what is counted ahead is what a fresh count gives, whatever happened", () => {
  const change = fc.record({
    pod: fc.nat(5),
    node: fc.nat(3),
    gone: fc.boolean(),
    app: fc.constantFrom("a", "b"),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
      const cache = cacheOf(inZones());
      const question = {
        topologyKey: "zone",
        matchers: [{ namespaces: ["default"], selector: { matchLabels: { app: "a" } } }],
        terminating: false,
      };
      cache.counts(question);
      const placed = new Map<string, corev1.Pod>();
      for (const { pod, node, gone, app } of changes) {
        const name = `p${pod}`;
        if (gone) {
          cache.removePod(`default/${name}`);
          placed.delete(name);
        } else {
          const next = podOf(name, { nodeName: `n${node}`, labels: { app }, cpu: "1" });
          cache.setPod(next);
          placed.set(name, next);
        }
      }
      const fresh = cacheOf(inZones(), [...placed.values()]);
      const [kept, counted] = [cache.counts(question), fresh.counts(question)];
      expect([kept.least, kept.domains, kept.total]).toEqual([counted.least, counted.domains, counted.total]);
      for (const node of fresh.nodes)
        expect(kept.at(cache.node(node.name)!.slot)).toBe(counted.at(node.slot));
      for (const node of fresh.nodes) {
        expect(cache.node(node.name)?.requested).toEqual(node.requested);
        expect(cache.node(node.name)?.pods.size).toBe(node.pods.size);
      }
    }),
  );
});

test("scores are asked of a sample too, another one each time: pods spread over all of a large cluster", () => {
  const cache = cacheOf(Array.from({ length: 600 }, (_, i) => nodeOf(`n${i}`)));
  const cycle = new SchedulingCycle({
    cache,
    profile: defaultProfile,
    world: noKin,
    random: seededRandom(1),
  });
  const topologyKey = "kubernetes.io/hostname";
  const labelSelector = { matchLabels: { app: "w" } };
  const spread = [{ maxSkew: 1, topologyKey, whenUnsatisfiable: "ScheduleAnyway" as const, labelSelector }];
  const used = new Set<string>();
  for (let i = 0; i < 300; i++) {
    const pod = podOf(`p${i}`, { labels: { app: "w" }, topologySpreadConstraints: spread });
    const name = placeOf(cycle.schedule(podInfoOf(pod)));
    used.add(name);
    cache.setPod({ ...pod, spec: { ...pod.spec, nodeName: name } });
  }
  expect(used.size).toBe(300);
  expect([...used].some((name) => Number(name.slice(1)) > 400)).toBe(true);
});
