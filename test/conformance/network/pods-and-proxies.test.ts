/** Pods reach pods, nodes reach pods, and the API server leads to both. */
import { expect } from "vitest";
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

for (const [id, fromNode] of [
  ["network-652338", false],
  ["network-8891ee", true],
] as const)
  conformance(id, `${fromNode ? "A node" : "A pod"} reaches every pod`, async (given) => {
    const names = ["netserver-0", "netserver-1"];
    const servers = await Promise.all(
      names.map(async (name) => {
        const containers = [hostnameServer(given.image, 8083)];
        await createPod(given, { name, spec: { restartPolicy: "Always", containers } });
        return untilReady(given, name);
      }),
    );
    const client = await startClient(given, "client", { hostNetwork: fromNode });
    for (const [i, { status }] of servers.entries()) {
      expect(await client.reaches(status?.podIP ?? "", 8083)).toBe(names[i]);
    }
  });

async function behindProxies(given: Given): Promise<string[]> {
  const labels = { app: "proxied" };
  const pod = await startServer(given, "agent", labels, 8080);
  await createService(given, "agent", {
    selector: labels,
    ports: [{ name: "http", port: 80, targetPort: 8080 }],
  });
  await untilEndpoints(given, "agent", { [pod.status?.podIP ?? ""]: [8080] });
  const base = `/api/v1/namespaces/${given.namespace}`;
  return [`${base}/pods/agent:8080/proxy`, `${base}/services/agent:80/proxy`];
}

conformance("network-084f85", "The API server leads to pods and services", async (given) => {
  for (const path of await behindProxies(given)) {
    const answer = await given.kube.send("GET", `${path}/`);
    expect([answer.code, answer.text.trim()]).toEqual([200, "agent"]);
    const moved = await given.kube.send("GET", path);
    expect(moved.code).toBe(301);
    expect((await given.kube.send("HEAD", `${path}/`)).code).toBe(200);
  }
});

conformance("network-f9c0d9", "The API server leads to paths of pods and services", async (given) => {
  for (const path of await behindProxies(given)) {
    const answer = await given.kube.send("GET", `${path}/hostname`);
    expect([answer.code, answer.text.trim()]).toEqual([200, "agent"]);
    expect((await given.kube.send("GET", `${path}/absent`)).code).toBe(404);
    // The server behind it knows no such method: its word comes through.
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
      expect((await given.kube.send(method, `${path}/hostname`)).code).not.toBe(405);
  }
});

conformance("network-a140cf", "The API server leads to a service by the name of its port", async (given) => {
  await behindProxies(given);
  const base = `/api/v1/namespaces/${given.namespace}`;
  for (const id of [
    "services/agent:http",
    "services/http:agent:http",
    "services/agent:80",
    "pods/agent:8080",
    "pods/http:agent:8080",
  ]) {
    const answer = await given.kube.send("GET", `${base}/${id}/proxy/hostname`);
    expect([id, answer.code, answer.text.trim()]).toEqual([id, 200, "agent"]);
  }
});
