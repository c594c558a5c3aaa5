/** Services lead to their pods: endpoints, changes of type, node ports, affinity, protocols. */
import { expect } from "vitest";
import { type corev1, deployments, endpointSlices, nodes, pods, services } from "#api";
import { eventually } from "../../eventually.ts";
import { sleeper } from "../objects.ts";
import { createPod } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";
import {
  createService,
  hostnameServer,
  startClient,
  startServer,
  untilEndpoints,
  untilReady,
} from "./traffic.ts";

const labels = { app: "served" };
const ipOf = (pod: corev1.Pod) => pod.status?.podIP ?? "";
const remove = ({ kube, namespace }: Given, name: string) => kube.resource(pods, namespace).delete(name);

conformance(
  "network-86f980",
  "A service has the endpoints of its pods, as they come and go",
  async (given) => {
    await createService(given, "web", { selector: labels, ports: [{ port: 80, targetPort: 8080 }] });
    await untilEndpoints(given, "web", {});
    const client = await startClient(given);
    const one = await startServer(given, "pod1", labels, 8080);
    await untilEndpoints(given, "web", { [ipOf(one)]: [8080] });
    expect(await client.reaches("web", 80)).toBe("pod1");
    const two = await startServer(given, "pod2", labels, 8080);
    await untilEndpoints(given, "web", { [ipOf(one)]: [8080], [ipOf(two)]: [8080] });
    await remove(given, "pod1");
    await untilEndpoints(given, "web", { [ipOf(two)]: [8080] });
    expect(await client.reaches("web", 80)).toBe("pod2");
    await remove(given, "pod2");
    await untilEndpoints(given, "web", {});
  },
);

conformance("network-6f5205", "A service of two ports has the endpoints of each", async (given) => {
  const ports = [
    { name: "one", port: 80, targetPort: "portname1" },
    { name: "two", port: 81, targetPort: "portname2" },
  ];
  await createService(given, "multi", { selector: labels, ports });
  const client = await startClient(given);
  const server = async (name: string, portName: string, port: number) => {
    const container = hostnameServer(given.image, port);
    await createPod(given, {
      name,
      labels,
      spec: {
        restartPolicy: "Always",
        containers: [{ ...container, ports: [{ name: portName, containerPort: port }] }],
      },
    });
    return untilReady(given, name);
  };
  const one = await server("pod1", "portname1", 8100);
  await untilEndpoints(given, "multi", { [ipOf(one)]: [8100] });
  const two = await server("pod2", "portname2", 8101);
  await untilEndpoints(given, "multi", { [ipOf(one)]: [8100], [ipOf(two)]: [8101] });
  expect([await client.reaches("multi", 80), await client.reaches("multi", 81)]).toEqual(["pod1", "pod2"]);
  await remove(given, "pod1");
  await untilEndpoints(given, "multi", { [ipOf(two)]: [8101] });
  await remove(given, "pod2");
  await untilEndpoints(given, "multi", {});
});

async function nodeAddresses({ kube }: Given): Promise<string[]> {
  const { items } = await kube.resource(nodes).list();
  return items.flatMap(({ status }) =>
    (status?.addresses ?? []).filter(({ type }) => type === "InternalIP").map(({ address }) => address),
  );
}

/** By name, by cluster address, and by every node's port. */
async function reachable(given: Given, service: corev1.Service, port = 80): Promise<void> {
  const client = await startClient(given);
  await client.reaches(service.metadata.name ?? "", port);
  await client.reaches(service.spec.clusterIP ?? "", port);
  const nodePort = service.spec.ports?.[0]?.nodePort;
  if (nodePort) for (const address of await nodeAddresses(given)) await client.reaches(address, nodePort);
}

conformance("network-cf3f15", "A node port is open on every node", async (given) => {
  const service = await createService(given, "node-port", {
    type: "NodePort",
    selector: labels,
    ports: [{ port: 80, targetPort: 9376 }],
  });
  expect(service.spec.ports?.[0]?.nodePort).toBeGreaterThan(0);
  await startServer(given, "server", labels, 9376);
  await reachable(given, service);
});

const change = ({ kube, namespace }: Given, name: string, to: (spec: corev1.ServiceSpec) => void) =>
  kube.resource(services, namespace).update(name, ({ spec }) => to(spec));

const external = "foo.example.com";

conformance("network-1a2e2b", "An external name becomes a cluster address", async (given) => {
  const before = await createService(given, "changing", { type: "ExternalName", externalName: external });
  expect(before.spec.clusterIP ?? "").toBe("");
  await startServer(given, "server", labels, 9376);
  const service = await change(given, "changing", (spec) => {
    spec.type = "ClusterIP";
    delete spec.externalName;
    spec.selector = labels;
    spec.ports = [{ port: 80, name: "http", protocol: "TCP", targetPort: 9376 }];
  });
  expect(service.spec.clusterIP).toBeTruthy();
  await reachable(given, service);
});

conformance("network-f07036", "An external name becomes a node port", async (given) => {
  await createService(given, "changing", { type: "ExternalName", externalName: external });
  await startServer(given, "server", labels, 9376);
  const service = await change(given, "changing", (spec) => {
    spec.type = "NodePort";
    delete spec.externalName;
    spec.selector = labels;
    spec.ports = [{ port: 80, name: "http", protocol: "TCP", targetPort: 9376 }];
  });
  expect(service.spec.ports?.[0]?.nodePort).toBeGreaterThan(0);
  await reachable(given, service);
});

for (const [id, type] of [
  ["network-c4ce4b", "ClusterIP"],
  ["network-3250e3", "NodePort"],
] as const)
  conformance(id, `A service of type ${type} becomes an external name`, async (given) => {
    await createService(given, "changing", { type, selector: labels, ports: [{ port: 80 }] });
    // Another service of this cluster, so that the name leads somewhere without the world outside.
    const target = await createService(given, "target", { ports: [{ port: 80 }] });
    const service = await change(given, "changing", (spec) => {
      spec.type = "ExternalName";
      spec.externalName = `target.${given.namespace}.svc.cluster.local`;
      for (const each of spec.ports ?? []) delete each.nodePort;
    });
    expect(service.spec.clusterIP ?? "").toBe("");
    expect(service.spec.ports?.some(({ nodePort }) => nodePort) ?? false).toBe(false);
    const client = await startClient(given);
    const answer = await client.resolves(`changing.${given.namespace}.svc.cluster.local`, (text) =>
      text.includes(target.spec.clusterIP ?? "-"),
    );
    expect(answer).toContain(target.spec.clusterIP);
  });

async function threeServers({ kube, namespace, image }: Given): Promise<void> {
  const all = kube.resource(deployments, namespace);
  const template = {
    metadata: { labels },
    spec: { containers: [hostnameServer(image, 9376)], terminationGracePeriodSeconds: 0 },
  };
  await all.create({
    metadata: { name: "servers" },
    spec: { replicas: 3, selector: { matchLabels: labels }, template },
  });
  await all.until("servers", ({ status }) => status?.readyReplicas === 3);
}

const rounds = 15;
const distinct = (names: readonly string[]) => new Set(names).size;

for (const [id, type, switches] of [
  ["network-8b7f51", "ClusterIP", false],
  ["network-83f802", "NodePort", false],
  ["network-e3ab0e", "ClusterIP", true],
  ["network-73b59e", "NodePort", true],
] as const)
  conformance(
    id,
    `Session affinity of a service of type ${type}${switches ? ", switched off and on" : ""}`,
    async (given) => {
      await threeServers(given);
      const spec = {
        type,
        selector: labels,
        sessionAffinity: "ClientIP" as const,
        ports: [{ port: 80, targetPort: 9376 }],
      };
      const service = await createService(given, "affine", spec);
      const [address = ""] =
        type === "NodePort" ? await nodeAddresses(given) : [service.spec.clusterIP ?? ""];
      const port = type === "NodePort" ? (service.spec.ports?.[0]?.nodePort ?? 0) : 80;
      const client = await startClient(given);
      await client.reaches(address, port);
      const sticks = async () => {
        const names = await client.answers(address, port, rounds);
        return names.length === rounds && distinct(names) === 1 ? true : undefined;
      };
      const spreads = async () =>
        distinct(await client.answers(address, port, rounds)) > 1 ? true : undefined;
      await eventually("affinity", sticks);
      if (!switches) return;
      await change(given, "affine", (each) => {
        each.sessionAffinity = "None";
        delete each.sessionAffinityConfig;
      });
      await eventually("no affinity", spreads);
      await change(given, "affine", (each) => {
        each.sessionAffinity = "ClientIP";
      });
      await eventually("affinity again", sticks);
    },
  );

for (const [id, title, more] of [
  ["network-2064ed", "Endpoints made by hand, of two addresses", true],
  ["network-f92103", "Endpoints made by hand, of one address with two ports", false],
] as const)
  conformance(id, title, async (given) => {
    const one = await startServer(given, "server1", { app: "one" }, 8100, 8101);
    const two = more ? await startServer(given, "server2", { app: "two" }, 8101) : one;
    const ports = [
      { name: "a", port: 8100, protocol: "TCP" as const },
      { name: "b", port: 8101, protocol: "TCP" as const },
    ];
    await createService(given, "by-hand", {
      ports: ports.map((each) => ({ ...each, port: each.port - 20 })),
    });
    const slices = given.kube.resource(endpointSlices, given.namespace);
    const targets = [ipOf(one), ipOf(two)];
    for (const [i, port] of ports.entries())
      await slices.create({
        metadata: {
          name: `by-hand-${i}`,
          labels: {
            "kubernetes.io/service-name": "by-hand",
            "endpointslice.kubernetes.io/managed-by": "e2e.conformance",
          },
        },
        addressType: "IPv4",
        endpoints: [{ addresses: [targets[i]!] }],
        ports: [port],
      });
    const client = await startClient(given);
    expect(await client.reaches("by-hand", 8080)).toBe("server1");
    expect(await client.reaches("by-hand", 8081)).toBe(more ? "server2" : "server1");
  });

conformance("network-68044e", "Endpoints of new services come soon", async (given) => {
  const pod = await startServer(given, "server", labels, 8080);
  const latencies: number[] = [];
  for (let i = 0; i < 100; i += 20)
    await Promise.all(
      Array.from({ length: 20 }, async (_, j) => {
        const name = `latency-${i + j}`;
        const start = performance.now();
        await createService(given, name, { selector: labels, ports: [{ port: 80, targetPort: 8080 }] });
        await untilEndpoints(given, name, { [ipOf(pod)]: [8080] });
        latencies.push(performance.now() - start);
      }),
    );
  latencies.sort((a, b) => a - b);
  expect(latencies[50]).toBeLessThan(20_000);
  expect(latencies[90]).toBeLessThan(50_000);
});

conformance(
  "network-6cf0b5",
  "A host port is shared by pods of other addresses or protocols",
  async (given) => {
    const { items } = await given.kube.resource(nodes).list();
    const node = items.find(({ spec }) => !spec?.unschedulable)?.metadata.name ?? "";
    const [address = ""] = (
      items.find(({ metadata }) => metadata.name === node)?.status?.addresses ?? []
    ).map((each) => each.address);
    const containerPort = { containerPort: 8080, hostPort: 54323 };
    for (const [name, port] of [
      ["pod1", { ...containerPort, hostIP: "127.0.0.1" }],
      ["pod2", { ...containerPort, hostIP: address }],
      ["pod3", { ...containerPort, hostIP: address, protocol: "UDP" as const }],
    ] as const) {
      const container = { ...hostnameServer(given.image, 8080), ports: [port] };
      await createPod(given, {
        name,
        spec: {
          restartPolicy: "Always",
          nodeSelector: { "kubernetes.io/hostname": node },
          containers: [container],
        },
      });
      await untilReady(given, name);
    }
    const client = await startClient(given, "client", { hostNetwork: true, node });
    expect(await client.reaches("127.0.0.1", 54323)).toBe("pod1");
    expect(await client.reaches(address, 54323)).toBe("pod2");
  },
);

for (const [id, kind, title] of [
  ["network-b0f9fd", "slice", "EndpointSlices follow the pods of a service"],
  ["network-449f25", "endpoints", "Endpoints follow the pods of a service"],
  ["network-635dcf", "slice-empty", "A service without pods has EndpointSlices without endpoints"],
  ["network-b95f71", "endpoints-empty", "A service without pods has Endpoints without addresses"],
] as const)
  conformance(id, title, async (given) => {
    const { kube, namespace, image } = given;
    await createService(given, "followed", { selector: labels, ports: [{ port: 80, targetPort: 8080 }] });
    const isEmpty = kind.endsWith("empty");
    const pod = isEmpty
      ? undefined
      : await createPod(given, { name: "followed", labels, spec: { containers: [sleeper(image)] } }).then(
          (name) => untilReady(given, name),
        );
    const found = async (): Promise<string[] | undefined> => {
      if (kind.startsWith("slice")) {
        const { items } = await kube
          .resource(endpointSlices, namespace)
          .list({ labelSelector: "kubernetes.io/service-name=followed" });
        return items.length === 0
          ? undefined
          : items.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses));
      }
      const answer = await kube.send<corev1.Endpoints>(
        "GET",
        `/api/v1/namespaces/${namespace}/endpoints/followed`,
      );
      return answer.code === 404
        ? undefined
        : (answer.body.subsets ?? []).flatMap((subset) => (subset.addresses ?? []).map(({ ip }) => ip));
    };
    const wanted = pod ? [ipOf(pod)] : [];
    await eventually("the endpoints", async () =>
      JSON.stringify(await found()) === JSON.stringify(wanted) ? true : undefined,
    );
    await kube.resource(services, namespace).delete("followed");
    await eventually("their end", async () => ((await found()) === undefined ? true : undefined));
  });
