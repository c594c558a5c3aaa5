/** Every application in `examples/`, applied with kubectl and used as its users would. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, example, get, newestKubectl, nodeAddress } from "./harness.ts";

const kubectl = newestKubectl();

function lifecycle(file: string): void {
  beforeAll(() => kubectl.ok(["apply", "-f", "-"], { input: example(file) }));
  afterAll(() =>
    kubectl.ok(["delete", "--wait=true", "--ignore-not-found", "-f", "-"], { input: example(file) }),
  );
}

/** A pod of the test's own that asks from inside. */
async function inside(command: readonly string[]): Promise<string> {
  return kubectl.ok(["exec", "client", "--", ...command]);
}

beforeAll(async () => {
  await kubectl.ok(["run", "client", "--image=busybox:1.36", "--restart=Never", "--", "sleep", "3600"]);
  await kubectl.ok(["wait", "--for=condition=Ready", "pod/client", "--timeout=60s"]);
});
afterAll(() => kubectl.ok(["delete", "pod", "client", "--grace-period=0", "--force"]));

describe("guestbook.yaml: a web front with a back end and a ConfigMap", () => {
  lifecycle("guestbook.yaml");

  test("comes up, and answers by NodePort, Service address and DNS name", async () => {
    await kubectl.ok(["rollout", "status", "deployment/guestbook-front", "--timeout=90s"]);
    await kubectl.ok(["rollout", "status", "deployment/guestbook-backend", "--timeout=90s"]);
    const [address, port] = (
      await kubectl.ok([
        "get",
        "service",
        "guestbook-front",
        "-o",
        "jsonpath={.spec.clusterIP} {.spec.ports[0].nodePort}",
      ])
    ).split(" ");
    const path = "cgi-bin/index.cgi";
    expect(
      await eventually("the NodePort", async () =>
        get(`http://${await nodeAddress(kubectl)}:${port}/${path}`),
      ),
    ).toMatch(/^Welcome aboard \(answered by guestbook-front-.*\)\nThe book is open\.\n/);
    expect(await get(`http://${address}/${path}?Olaf`)).toContain("Olaf");
    expect(await inside(["wget", "-qO-", `http://guestbook-front/${path}`])).toContain("Olaf");
    expect(
      await inside(["wget", "-qO-", `http://guestbook-front.default.svc.cluster.local/${path}`]),
    ).toContain("Olaf");
  });

  test("spreads requests over its front pods", async () => {
    const address = await kubectl.ok([
      "get",
      "service",
      "guestbook-front",
      "-o",
      "jsonpath={.spec.clusterIP}",
    ]);
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => get(`http://${address}/cgi-bin/index.cgi`)),
    );
    const hosts = new Set(answers.map((text) => /answered by ([^)]*)/.exec(text)?.[1]));
    expect(hosts.size).toBeGreaterThan(1);
  });

  test("takes a changed ConfigMap into running pods", async () => {
    await kubectl.ok([
      "patch",
      "configmap",
      "guestbook",
      "--type=merge",
      "-p",
      JSON.stringify({
        data: { "index.cgi": "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nchanged'\n" },
      }),
    ]);
    const address = await kubectl.ok([
      "get",
      "service",
      "guestbook-front",
      "-o",
      "jsonpath={.spec.clusterIP}",
    ]);
    const changed = async () =>
      (await get(`http://${address}/cgi-bin/index.cgi`)) === "changed" ? true : undefined;
    // Much less than the minute between two looks of the kubelet: a watch has told it.
    expect(await eventually("the new page", changed, 10_000)).toBe(true);
  });
});

describe("primes.yaml: a job", () => {
  lifecycle("primes.yaml");

  test("completes, and its pods' logs hold the results", async () => {
    await kubectl.ok(["wait", "--for=condition=complete", "job/primes", "--timeout=120s"]);
    const logs = await kubectl.ok(["logs", "-l", "job-name=primes"]);
    expect(logs.trim().split("\n").sort()).toEqual([
      "1 to 250: 53 primes",
      "251 to 500: 42 primes",
      "501 to 750: 37 primes",
      "751 to 1000: 36 primes",
    ]);
    const row = await kubectl.ok(["get", "job", "primes", "--no-headers"]);
    expect(row).toMatch(/^primes\s+(Complete\s+)?4\/4/);
  });
});

describe("shop.yaml: three tiers in a namespace", () => {
  lifecycle("shop.yaml");

  test("every tier becomes ready, and the front answers with what the store holds", async () => {
    for (const tier of ["store", "api", "web"]) {
      await kubectl.ok(["-n", "shop", "rollout", "status", `deployment/${tier}`, "--timeout=120s"]);
    }
    const url = `http://${await nodeAddress(kubectl)}:30088/cgi-bin/shop.cgi`;
    const page = await eventually("the shop's page", () => get(url));
    expect(page).toBe("In stock today:\namber 12\nwalrus ivory 3\nwool 40\n");
  });

  test("headless names lead to pods, Service names to one address", async () => {
    const podAddress = await kubectl.ok([
      "-n",
      "shop",
      "get",
      "pod",
      "-l",
      "tier=store",
      "-o",
      "jsonpath={.items[0].status.podIP}",
    ]);
    expect(await inside(["nslookup", "store.shop.svc.cluster.local"])).toContain(podAddress);
    const serviceAddress = await kubectl.ok([
      "-n",
      "shop",
      "get",
      "service",
      "api",
      "-o",
      "jsonpath={.spec.clusterIP}",
    ]);
    expect(await inside(["nslookup", "api.shop.svc.cluster.local"])).toContain(serviceAddress);
  });

  test("the namespace takes everything with it", async () => {
    await kubectl.ok(["delete", "namespace", "shop", "--timeout=120s"]);
    expect((await kubectl.try(["get", "namespace", "shop"])).stderr).toContain('namespaces "shop" not found');
  });
});
