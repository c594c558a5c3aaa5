/** Applications of several parts, made, changed, described and ended with kubectl. */
import { expect } from "vitest";
import { endpoints, pods, replicationControllers, services } from "#api";
import { eventually } from "../../eventually.ts";
import { webServer } from "../apps/workloads.ts";
import { podSpec, sleeper } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import { kubectl } from "./typed.ts";

function controller({ image }: Given, name: string, replicas: number) {
  const labels = { app: name };
  const containers = [webServer(image)];
  return {
    apiVersion: "v1",
    kind: "ReplicationController",
    metadata: { name, labels },
    spec: {
      replicas,
      selector: labels,
      template: { metadata: { labels }, spec: podSpec(image, { containers }) },
    },
  };
}

function untilReady({ kube, namespace }: Given, name: string, count: number): Promise<unknown> {
  const all = kube.resource(replicationControllers, namespace);
  return all.until(name, ({ status }) => status?.replicas === count && (status.readyReplicas ?? 0) === count);
}

async function podNames({ kube, namespace }: Given, app: string): Promise<string[]> {
  const { items } = await kube.resource(pods, namespace).list({ labelSelector: `app=${app}` });
  return items
    .filter(({ metadata }) => !metadata.deletionTimestamp)
    .map(({ metadata }) => metadata.name ?? "");
}

/** Each of its pods answers with its name, through the API server. */
async function everyPodServes(given: Given, app: string, count: number): Promise<void> {
  const names = await podNames(given, app);
  expect(names).toHaveLength(count);
  for (const name of names) {
    const path = `/api/v1/namespaces/${given.namespace}/pods/${name}:8080/proxy/`;
    const text = await eventually(`an answer of ${name}`, async () => {
      const answer = await given.kube.send("GET", path);
      return answer.code === 200 ? answer.text : undefined;
    });
    expect(text.trim()).toBe(name);
  }
}

conformance("cli-152540", "A replication controller is created and ended", async (given) => {
  await kubectl(given, "create -f -", controller(given, "update-demo", 2));
  await untilReady(given, "update-demo", 2);
  await everyPodServes(given, "update-demo", 2);
  await kubectl(given, "delete --grace-period=0 --force -f -", controller(given, "update-demo", 2));
  await eventually("the end of its pods", async () =>
    (await podNames(given, "update-demo")).length === 0 ? true : undefined,
  );
});

conformance("cli-8903c9", "A replication controller is scaled", async (given) => {
  await kubectl(given, "create -f -", controller(given, "update-demo", 2));
  await untilReady(given, "update-demo", 2);
  for (const count of [1, 2]) {
    await kubectl(given, `scale rc update-demo --replicas=${count} --timeout=1m`);
    await untilReady(given, "update-demo", count);
    await everyPodServes(given, "update-demo", count);
  }
});

conformance("cli-623bda", "patch annotates the pods of a controller", async (given) => {
  await kubectl(given, "create -f -", controller(given, "primary", 1));
  await untilReady(given, "primary", 1);
  const patch = JSON.stringify({ metadata: { annotations: { x: "y" } } });
  const names = await podNames(given, "primary");
  for (const name of names)
    await given.kubectl.ok(["--namespace", given.namespace, "patch", "pod", name, "-p", patch]);
  for (const name of names) {
    const { metadata } = await given.kube.resource(pods, given.namespace).get(name);
    expect(metadata.annotations?.x).toBe("y");
  }
});

conformance("cli-409779", "expose makes Services of controllers and Services", async (given) => {
  const { kube, namespace } = given;
  await kubectl(given, "create -f -", controller(given, "primary", 1));
  await untilReady(given, "primary", 1);
  const leads = async (name: string, port: number) => {
    const service = await kube.resource(services, namespace).get(name);
    expect(service.spec?.ports).toMatchObject([{ port, targetPort: 8080 }]);
    await kube
      .resource(endpoints, namespace)
      .until(
        name,
        ({ subsets }) => subsets?.[0]?.addresses?.length === 1 && subsets[0].ports?.[0]?.port === 8080,
      );
    const path = `/api/v1/namespaces/${namespace}/services/${name}:${port}/proxy/`;
    await eventually(`an answer of ${name}`, async () =>
      (await kube.send("GET", path)).text.startsWith("primary-") ? true : undefined,
    );
  };
  await kubectl(given, "expose rc primary --name=rm2 --port=1234 --target-port=8080");
  await leads("rm2", 1234);
  await kubectl(given, "expose service rm2 --name=rm3 --port=2345 --target-port=8080");
  await leads("rm3", 2345);
});

function expectLines(text: string, lines: readonly RegExp[]): void {
  for (const line of lines) expect(text).toMatch(line);
}

conformance(
  "cli-6b0762",
  "describe tells of controllers, pods, Services, nodes and namespaces",
  async (given) => {
    const { namespace } = given;
    await kubectl(given, "create -f -", controller(given, "primary", 1));
    await kubectl(given, "expose rc primary --port=6379 --target-port=8080");
    await untilReady(given, "primary", 1);
    const [pod = ""] = await podNames(given, "primary");
    const stands = new RegExp(`^Namespace:\\s+${namespace}$`, "m");
    expectLines(await kubectl(given, `describe pod ${pod}`), [
      new RegExp(`^Name:\\s+${pod}$`, "m"),
      stands,
      /^Node:\s+\S+\/\S+$/m,
      /^Labels:\s+app=primary$/m,
      /^Status:\s+Running$/m,
      /^IP:\s+\S+$/m,
      /^Controlled By:\s+ReplicationController\/primary$/m,
      /^\s+Image:\s+\S+$/m,
      /^\s+State:\s+Running$/m,
      /^QoS Class:\s+BestEffort$/m,
    ]);
    expectLines(await kubectl(given, "describe rc primary"), [
      /^Name:\s+primary$/m,
      stands,
      /^Selector:\s+app=primary$/m,
      /^Replicas:\s+1 current \/ 1 desired$/m,
      /^Pods Status:\s+1 Running \/ 0 Waiting \/ 0 Succeeded \/ 0 Failed$/m,
      /^Pod Template:$/m,
      /^Events:$/m,
      /SuccessfulCreate/,
    ]);
    expectLines(await kubectl(given, "describe service primary"), [
      /^Name:\s+primary$/m,
      stands,
      /^Selector:\s+app=primary$/m,
      /^Type:\s+ClusterIP$/m,
      /^IP:\s+\S+$/m,
      /^Port:\s+<unset>\s+6379\/TCP$/m,
      /^Endpoints:\s+\S+:8080$/m,
      /^Session Affinity:\s+None$/m,
    ]);
    const node = (await given.kube.resource(pods, namespace).get(pod)).spec.nodeName ?? "";
    expectLines(await kubectl(given, `describe node ${node}`), [
      new RegExp(`^Name:\\s+${node}$`, "m"),
      /^Labels:/m,
      /^Annotations:/m,
      /^CreationTimestamp:/m,
      /^Conditions:/m,
      /^\s+MemoryPressure/m,
      /^Addresses:/m,
      /^Capacity:/m,
      /^\s+Kubelet Version:/m,
      /^Non-terminated Pods:/m,
      /^Allocated resources:/m,
    ]);
    expectLines(await kubectl(given, `describe namespace ${namespace}`), [
      new RegExp(`^Name:\\s+${namespace}$`, "m"),
      /^Labels:/m,
      /^Status:\s+Active$/m,
      /^No resource quota\.$/m,
      /^No LimitRange resource\.$/m,
    ]);
  },
);

/** One that keeps what it is told, and a front that tells and asks it: CGI of busybox's web server. */
function guestbook({ image }: Given) {
  const part = (name: string, replicas: number, setUp: string) => {
    const labels = { app: "guestbook", tier: name };
    const cgi = "/tmp/www/cgi-bin/book";
    const command = [
      "sh",
      "-c",
      `mkdir -p /tmp/www/cgi-bin; ${setUp.replaceAll("CGI", cgi)}; exec httpd -f -p 8080 -h /tmp/www`,
    ];
    const container = {
      ...sleeper(image, { command }),
      readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
    };
    const spec = podSpec(image, { containers: [container] });
    const template = { metadata: { labels }, spec };
    return [
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name, labels },
        spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name },
        spec: { replicas, selector: { matchLabels: labels }, template },
      },
    ];
  };
  const script = (lines: string) => `printf '%b' '#!/bin/sh\\n${lines}' > CGI; chmod +x CGI`;
  const head = "echo Content-Type: text/plain; echo\\n";
  const keep = script(
    `${head}[ -n "$QUERY_STRING" ] && echo "$QUERY_STRING" >> /tmp/entries\\ncat /tmp/entries\\n`,
  );
  const pass = script(`${head}wget -q -O - "http://primary/cgi-bin/book?$QUERY_STRING"\\n`);
  return {
    apiVersion: "v1",
    kind: "List",
    items: [...part("primary", 1, `touch /tmp/entries; ${keep}`), ...part("frontend", 3, pass)],
  };
}

conformance("cli-c84d56", "A guestbook keeps what is written into it", async (given) => {
  await kubectl(given, "create -f -", guestbook(given));
  for (const name of ["primary", "frontend"])
    await kubectl(given, `rollout status deployment/${name} --timeout=90s`);
  const path = `/api/v1/namespaces/${given.namespace}/services/frontend:80/proxy/cgi-bin/book`;
  const entry = "TestEntry";
  await eventually("the entry in the book", async () => {
    const answer = await given.kube.send("GET", path, { query: { [entry]: "1" } });
    return answer.text.includes(entry) ? true : undefined;
  });
  const read = await eventually("the book", async () => {
    const answer = await given.kube.send("GET", path);
    return answer.code === 200 && answer.text ? answer.text : undefined;
  });
  expect(read).toContain(`${entry}=1`);
  await kubectl(given, "delete --grace-period=0 --force -f -", guestbook(given));
  await eventually("the end of the guestbook", async () =>
    (await podNames(given, "guestbook")).length === 0 ? true : undefined,
  );
});
