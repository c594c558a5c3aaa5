/** Every application in `examples/`, applied with kubectl and used as its users would. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { eventually, example, get, newestKubectl, nodeAddress } from "./harness.ts";
import { knarr } from "./knarr.ts";
import { clusterWeb, ok } from "./web.ts";

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

describe("ingress.yaml: a page with a name and a certificate", () => {
  const folder = mkdtempSync(join(tmpdir(), "knarr-notes-"));
  beforeAll(async () => {
    const [cert, key] = [join(folder, "tls.crt"), join(folder, "tls.key")];
    const made = spawnSync("openssl", [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=notes.example.com"],
      ...["-addext", "subjectAltName=DNS:notes.example.com", "-keyout", key, "-out", cert],
    ]);
    expect(made.status).toBe(0);
    await kubectl.ok(["create", "secret", "tls", "notes", `--cert=${cert}`, `--key=${key}`]);
  });
  lifecycle("ingress.yaml");
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await kubectl.ok(["delete", "secret", "notes"]);
  });

  test("is served over TLS, and its former name leads there", async () => {
    const web = await clusterWeb();
    expect((await web.answer("https://notes.example.com/", ok)).body).toBe("take note\n");
    const former = await web.ask("http://www.notes.example.com/");
    expect([former.status, former.headers.location]).toEqual([301, "https://notes.example.com/"]);
    const plain = await web.ask("http://notes.example.com/");
    expect(plain.status).toBe(308);
  });
});

describe("gateway.yaml: two versions behind a Gateway", () => {
  beforeAll(() =>
    knarr(["up", "--gateway-api", "--name", inject("clusterName")], {
      env: { ...process.env, KUBECONFIG: inject("kubeconfig") },
    }),
  );
  lifecycle("gateway.yaml");

  test("shares requests by weight, and heeds a header", async () => {
    const web = await clusterWeb();
    const url = "http://page.example.com/";
    const second = { headers: { "x-version": "2" } };
    expect((await web.answer(url, ok, second)).body).toBe("the second version\n");
    await web.answer(url, ({ body }) => body === "the first version\n");
    const seen = await Promise.all(Array.from({ length: 60 }, () => web.ask(url)));
    const first = seen.filter(({ body }) => body === "the first version\n").length;
    expect(first).toBeGreaterThan(30);
    expect(first).toBeLessThan(60);
  });
});
