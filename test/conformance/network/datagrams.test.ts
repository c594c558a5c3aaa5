/** Datagrams: to pods and through services, from pods and from the node. */
import { expect } from "vitest";
import { type corev1, type Draft, services } from "#api";
import { eventually } from "../../eventually.ts";
import { createPod } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";
import { type Client, createService, startClient, untilEndpoints, untilReady } from "./traffic.ts";

const netexec = (image: string, http: number, udp: number): Draft<corev1.Container> => ({
  name: "netexec",
  image,
  imagePullPolicy: "IfNotPresent",
  command: ["/agnhost", "netexec", `--http-port=${http}`, `--udp-port=${udp}`],
  readinessProbe: { httpGet: { path: "/healthz", port: http }, periodSeconds: 1 },
});

async function startAgent(given: Given, name: string, spec: Draft<corev1.PodSpec>, labels = {}) {
  await createPod(given, { name, labels, spec: { restartPolicy: "Always", ...spec } });
  return (await untilReady(given, name)).status?.podIP ?? "";
}

interface Target {
  host: string;
  port: number;
  protocol: "http" | "udp";
}

/** Asks the agent at `dialer` to ask `target` for its name. */
async function dial(client: Client, dialer: string, { host, port, protocol }: Target): Promise<string[]> {
  const query = `request=hostname&protocol=${protocol}&host=${host}&port=${port}&tries=1`;
  const text = await client.run(`timeout 10 wget -q -O - 'http://${dialer}/dial?${query}'`);
  return (JSON.parse(text ?? "{}") as { responses?: string[] }).responses ?? [];
}

const reaches = (client: Client, dialer: string, target: Target, name: string) =>
  eventually(`an answer of ${name} over ${target.protocol}`, async () =>
    (await dial(client, dialer, target)).includes(name) ? true : undefined,
  );

/** Nobody behind the service answers any more; what else may answer outside the cluster does not count. */
const failsToReach = (client: Client, dialer: string, target: Target, name: string) =>
  eventually(`silence of ${name} over ${target.protocol}`, async () =>
    (await dial(client, dialer, target)).includes(name) ? undefined : true,
  );

/** A port of the node's own that nobody has. */
const nodePort = 18_098;

for (const [id, fromNode] of [
  ["network-ffe13e", false],
  ["network-4d957f", true],
] as const)
  conformance(id, `Datagrams of a ${fromNode ? "node" : "pod"} reach every pod`, async (given) => {
    const names = ["netserver-0", "netserver-1"];
    const addresses = await Promise.all(
      names.map((name) => startAgent(given, name, { containers: [netexec(given.agnhost, 8083, 8081)] })),
    );
    const port = fromNode ? nodePort : 8080;
    const containers = [netexec(given.agnhost, port, fromNode ? nodePort : 8081)];
    const dialer = await startAgent(given, "dialer", { hostNetwork: fromNode, containers });
    const client = await startClient(given, "client", { hostNetwork: fromNode });
    for (const [i, host] of addresses.entries()) {
      const target: Target = { host, port: 8081, protocol: "udp" };
      expect(await reaches(client, `${dialer}:${port}`, target, names[i]!)).toBe(true);
    }
  });

conformance("network-678b9f", "One port serves two protocols, or either of them", async (given) => {
  const labels = { app: "both" };
  const ip = await startAgent(given, "both", { containers: [netexec(given.agnhost, 80, 80)] }, labels);
  const dialer = await startAgent(given, "dialer", { containers: [netexec(given.agnhost, 8080, 8081)] });
  const client = await startClient(given);
  const tcp = { name: "tcp-port", port: 80, protocol: "TCP" as const, targetPort: 80 };
  const udp = { name: "udp-port", port: 80, protocol: "UDP" as const, targetPort: 80 };
  const { spec } = await createService(given, "both", { selector: labels, ports: [tcp, udp] });
  await untilEndpoints(given, "both", { [ip]: [80, 80] });
  const host = spec.clusterIP ?? "";
  const over = (protocol: Target["protocol"]): Target => ({ host, port: 80, protocol });
  const all = given.kube.resource(services, given.namespace);
  const serveOnly = (ports: corev1.ServicePort[]) =>
    all.update("both", (service) => {
      service.spec.ports = ports;
    });
  expect(await reaches(client, `${dialer}:8080`, over("http"), "both")).toBe(true);
  expect(await reaches(client, `${dialer}:8080`, over("udp"), "both")).toBe(true);
  await serveOnly([tcp]);
  expect(await reaches(client, `${dialer}:8080`, over("http"), "both")).toBe(true);
  expect(await failsToReach(client, `${dialer}:8080`, over("udp"), "both")).toBe(true);
  await serveOnly([udp]);
  expect(await reaches(client, `${dialer}:8080`, over("udp"), "both")).toBe(true);
  expect(await failsToReach(client, `${dialer}:8080`, over("http"), "both")).toBe(true);
});
