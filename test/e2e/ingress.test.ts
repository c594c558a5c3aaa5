/** Ingresses on a real HAProxy: routes, TLS, and the annotations of ingress-nginx that people use. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { eventually, newestKubectl } from "./harness.ts";
import { clusterWeb, ok, type Web, webServer } from "./web.ts";

const kubectl = newestKubectl();
const namespace = "ingress";
const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);
const apply = (input: string) => kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input });
const folder = mkdtempSync(join(tmpdir(), "knarr-ingress-"));

let web: Web;
const ask: Web["ask"] = (...args) => web.ask(...args);
const answer: Web["answer"] = (...args) => web.answer(...args);

interface Wish {
  host: string;
  path?: string;
  pathType?: string;
  service?: string;
  annotations?: Record<string, string>;
  tls?: string;
}

function ingress(
  name: string,
  { host, path = "/", pathType = "Prefix", service = "one", annotations, tls }: Wish,
): string {
  const prefixed = Object.entries(annotations ?? {}).map(([key, value]) => [
    `nginx.ingress.kubernetes.io/${key}`,
    value,
  ]);
  return JSON.stringify({
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name, annotations: Object.fromEntries(prefixed) },
    spec: {
      ...(tls ? { tls: [{ hosts: [host], secretName: tls }] } : {}),
      rules: [
        {
          host,
          http: {
            paths: [{ path, pathType, backend: { service: { name: service, port: { name: "http" } } } }],
          },
        },
      ],
    },
  });
}

function makeCertificate(name: string): { cert: string; key: string } {
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const made = spawnSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`, "-keyout", key, "-out", cert],
  ]);
  expect(made.status).toBe(0);
  return { cert, key };
}

/** The name on the certificate that is shown for a name. */
function shownName(servername: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const port = Number(web.https.port || 443);
    const socket = connectTls(
      { host: web.https.hostname, port, servername, rejectUnauthorized: false },
      () => {
        const { subject } = socket.getPeerCertificate();
        socket.destroy();
        resolve(String(subject.CN));
      },
    );
    socket.on("error", reject);
  });
}

beforeAll(async () => {
  web = await clusterWeb();
  await kubectl.ok(["create", "namespace", namespace]);
  await apply(`${webServer("one", 2)}---${webServer("two")}`);
  await k("rollout", "status", "deployment/one", "--timeout=60s");
  await k("rollout", "status", "deployment/two", "--timeout=60s");
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await kubectl.ok(["delete", "namespace", namespace, "--timeout=60s"]);
});

test("hosts, wildcards and paths lead to services; the Ingress says where", async () => {
  await apply(ingress("plain", { host: "plain.example.com" }));
  expect((await answer("http://plain.example.com/", ok)).body).toBe("one\n");
  await apply(ingress("wild", { host: "*.wild.example.com", path: "/app", service: "two" }));
  expect((await answer("http://a.wild.example.com/app/", ok)).body).toBe("two app\n");
  expect((await ask("http://a.wild.example.com/apple")).status).toBe(404);
  expect((await ask("http://a.b.wild.example.com/app/")).status).toBe(404);
  expect((await ask("http://wild.example.com/app/")).status).toBe(404);
  expect((await ask("http://nobody.example.com/")).status).toBe(404);
  await apply(
    ingress("exact", { host: "plain.example.com", path: "/cgi-bin/show", pathType: "Exact", service: "two" }),
  );
  const shown = await answer("http://plain.example.com/cgi-bin/show?a=b", ({ body }) =>
    body.includes("server=two"),
  );
  expect(shown.body).toContain("HTTP_X_FORWARDED_PROTO=http\n");
  expect(shown.body).toContain("HTTP_X_FORWARDED_HOST=plain.example.com\n");
  expect(shown.body).toContain("REQUEST_URI=/cgi-bin/show?a=b\n");
  expect((await ask("http://plain.example.com/x/../cgi-bin/%73how")).body).toContain("server=two");
  expect(await k("get", "ingress", "plain")).toMatch(
    new RegExp(`plain\\s+knarr\\s+plain.example.com\\s+${web.http.hostname}\\s+80`),
  );
});

test("TLS shows the certificate of the name, redirects, and changes it while running", async () => {
  const host = "tls.example.com";
  const { cert, key } = makeCertificate(host);
  await k("create", "secret", "tls", "tls", `--cert=${cert}`, `--key=${key}`);
  await apply(ingress("tls", { host, tls: "tls" }));
  const redirected = await answer(`http://${host}/a?b=c`, ({ status }) => status === 308);
  const port = web.https.port ? `:${web.https.port}` : "";
  expect(redirected.headers.location).toBe(`https://${host}${port}/a?b=c`);
  expect((await answer(`https://${host}/`, ok)).body).toBe("one\n");
  expect(await shownName(host)).toBe(host);
  expect(await shownName("other.example.com")).toBe("knarr-ingress");
  const next = makeCertificate("next.example.com");
  const data = { "tls.crt": readFileSync(next.cert, "base64"), "tls.key": readFileSync(next.key, "base64") };
  await k("patch", "secret", "tls", "-p", JSON.stringify({ data }));
  await eventually("the new certificate", async () => {
    expect(await shownName(host)).toBe("next.example.com");
    return true;
  });
  await k(
    "patch",
    "secret",
    "tls",
    "-p",
    JSON.stringify({ data: { "tls.key": Buffer.from("no").toString("base64") } }),
  );
  await eventually("the event", async () => {
    expect(await k("get", "events")).toMatch(
      /NotServed\s+ingress\/tls\s+Secret ingress\/tls: .* no certificate/,
    );
    return true;
  });
  expect((await answer(`https://${host}/`, ok)).body).toBe("one\n");
});

test("HTTP/2 is spoken over TLS", async () => {
  const session = connectHttp2(web.https.href, {
    servername: "plain.example.com",
    rejectUnauthorized: false,
  });
  const stream = session.request({ ":path": "/", ":authority": "plain.example.com" });
  const status = await new Promise((resolve, reject) => {
    stream.on("response", (headers) => resolve(headers[":status"]));
    stream.on("error", reject);
  });
  session.destroy();
  expect(status).toBe(200);
});

test("paths are rewritten, by prefix and by what a pattern found", async () => {
  await apply(
    ingress("all", { host: "rewrite.example.com", path: "/x", annotations: { "rewrite-target": "/app/" } }),
  );
  expect((await answer("http://rewrite.example.com/x", ok)).body).toBe("one app\n");
  const annotations = { "rewrite-target": "/$2", "use-regex": "true" };
  await apply(
    ingress("part", {
      host: "rewrite.example.com",
      path: "/y(/|$)(.*)",
      pathType: "ImplementationSpecific",
      annotations,
    }),
  );
  const shown = await answer("http://rewrite.example.com/y/cgi-bin/show?q=1", ok);
  expect(shown.body).toContain("REQUEST_URI=/cgi-bin/show?q=1\n");
});

test("redirects, bodies that are too large, networks, CORS", async () => {
  const wishes: Record<string, Record<string, string>> = {
    moved: { "permanent-redirect": "https://elsewhere.example.com/x%20y" },
    found: { "temporal-redirect": "https://elsewhere.example.com", "temporal-redirect-code": "307" },
    root: { "app-root": "/app/" },
    small: { "proxy-body-size": "1k" },
    nobody: { "whitelist-source-range": "192.0.2.200/32" },
    somebody: { "whitelist-source-range": "192.0.2.200/32, 0.0.0.0/0" },
    denied: { "denylist-source-range": "0.0.0.0/0" },
    cors: {
      "enable-cors": "true",
      "cors-allow-origin": "https://*.friends.example.com",
      "cors-max-age": "60",
    },
    forced: { "force-ssl-redirect": "true" },
  };
  const objects = Object.entries(wishes).map(([name, annotations]) =>
    ingress(name, { host: `${name}.example.com`, annotations }),
  );
  await apply(objects.join("\n---\n"));
  // The last one of them is served when all are.
  await answer("http://forced.example.com/", ({ status }) => status === 308);
  const moved = await ask("http://moved.example.com/");
  expect(moved.status).toBe(301);
  expect(moved.headers.location).toBe("https://elsewhere.example.com/x%20y");
  expect((await ask("http://found.example.com/")).status).toBe(307);
  expect((await ask("http://root.example.com/")).headers.location).toBe("/app/");
  expect((await ask("http://root.example.com/app/")).body).toBe("one app\n");
  const post = (size: number) => ask("http://small.example.com/", { method: "POST", body: "x".repeat(size) });
  expect((await post(2000)).status).toBe(413);
  expect((await post(1000)).status).not.toBe(413);
  expect((await ask("http://nobody.example.com/")).status).toBe(403);
  expect((await ask("http://somebody.example.com/")).status).toBe(200);
  expect((await ask("http://denied.example.com/")).status).toBe(403);
  const origin = { origin: "https://a.friends.example.com" };
  const preflight = await ask("http://cors.example.com/", { method: "OPTIONS", headers: origin });
  expect([preflight.status, preflight.headers["access-control-max-age"]]).toEqual([204, "60"]);
  const friendly = await ask("http://cors.example.com/", { headers: origin });
  expect(friendly.headers["access-control-allow-origin"]).toBe(origin.origin);
  const strange = await ask("http://cors.example.com/", {
    headers: { origin: "https://friends.example.com.evil.example" },
  });
  expect(strange.headers["access-control-allow-origin"]).toBeUndefined();
});

test("basic authentication lets nobody pass who should not", async () => {
  const hash = spawnSync("openssl", ["passwd", "-6", "open"]).stdout.toString().trim();
  await k("create", "secret", "generic", "users", `--from-literal=auth=ann:${hash}`);
  const annotations = { "auth-type": "basic", "auth-secret": "users", "auth-realm": "Knarr's" };
  await apply(ingress("auth", { host: "auth.example.com", annotations }));
  const refused = await answer("http://auth.example.com/", ({ status }) => status === 401);
  expect(refused.headers["www-authenticate"]).toBe('Basic realm="Knarr\'s"');
  const as = (password: string) => ({
    authorization: `Basic ${Buffer.from(`ann:${password}`).toString("base64")}`,
  });
  expect((await ask("http://auth.example.com/", { headers: as("open") })).status).toBe(200);
  expect((await ask("http://auth.example.com/", { headers: as("shut") })).status).toBe(401);
  await apply(
    ingress("closed", { host: "closed.example.com", annotations: { "auth-url": "http://x.example.com" } }),
  );
  await answer("http://closed.example.com/", ({ status }) => status === 503);
  await apply(
    ingress("gone", { host: "gone.example.com", annotations: { ...annotations, "auth-secret": "missing" } }),
  );
  await answer("http://gone.example.com/", ({ status }) => status === 401);
});

test("sessions stick to a server; too many requests of one address are refused", async () => {
  const annotations = { affinity: "cookie", "session-cookie-name": "where", "session-cookie-max-age": "60" };
  await apply(ingress("sticky", { host: "sticky.example.com", annotations }));
  const first = await answer("http://sticky.example.com/cgi-bin/show", ok);
  const cookie = first.headers["set-cookie"]?.[0] ?? "";
  expect(cookie).toMatch(/^where=[0-9a-f]+; path=\/; HttpOnly; Max-Age=60; Path=\/$/);
  const pod = /pod=(\S+)/.exec(first.body)?.[1];
  for (let i = 0; i < 6; i++) {
    const again = await ask("http://sticky.example.com/cgi-bin/show", {
      headers: { cookie: cookie.split(";")[0]! },
    });
    expect(again.body).toContain(`pod=${pod}`);
  }
  await apply(ingress("limited", { host: "limited.example.com", annotations: { "limit-rpm": "1" } }));
  await answer("http://limited.example.com/", ({ status }) => status === 503);
});

test("a canary gets its share, by header, cookie and weight", async () => {
  const host = "canary.example.com";
  await apply(ingress("main", { host }));
  const annotations = {
    canary: "true",
    "canary-by-header": "X-Canary",
    "canary-by-cookie": "canary",
    "canary-weight": "50",
  };
  await apply(ingress("canary", { host, service: "two", annotations }));
  const always = await answer(`http://${host}/`, ({ body }) => body === "two\n", {
    headers: { "x-canary": "always" },
  });
  expect(always.status).toBe(200);
  expect((await ask(`http://${host}/`, { headers: { "x-canary": "never" } })).body).toBe("one\n");
  expect((await ask(`http://${host}/`, { headers: { cookie: "canary=always" } })).body).toBe("two\n");
  const seen = await Promise.all(Array.from({ length: 60 }, () => ask(`http://${host}/`)));
  const share = seen.filter(({ body }) => body === "two\n").length;
  expect(share).toBeGreaterThan(10);
  expect(share).toBeLessThan(50);
});

test("servers come and go without a new worker and without a lost request", async () => {
  const worker = () =>
    spawnSync("pgrep", ["-f", `haproxy.*${inject("clusterName")}`])
      .stdout.toString()
      .trim()
      .split("\n")
      .sort()
      .join();
  const before = worker();
  let asking = true;
  const seen: string[] = [];
  const load = (async () => {
    while (asking) {
      const { status, body } = await ask("http://plain.example.com/").catch((error: Error) => ({
        status: 0,
        body: error.message,
      }));
      seen.push(`${status} ${body}`);
    }
  })();
  await k("scale", "deployment/one", "--replicas=4");
  await k("rollout", "status", "deployment/one", "--timeout=60s");
  await k("scale", "deployment/one", "--replicas=2");
  await k("rollout", "restart", "deployment/one");
  await k("rollout", "status", "deployment/one", "--timeout=60s");
  asking = false;
  await load;
  expect(seen.length).toBeGreaterThan(20);
  expect(seen.filter((each) => each !== "200 one\n")).toEqual([]);
  expect(worker()).toBe(before);
});

test("what is not understood is told, and another class is somebody else's", async () => {
  await apply(
    ingress("odd", { host: "odd.example.com", annotations: { "server-snippet": "x", "no-such": "y" } }),
  );
  await eventually("the events", async () => {
    const events = await k("get", "events");
    expect(events).toContain("nginx.ingress.kubernetes.io/server-snippet is not taken");
    expect(events).toContain(
      "nginx.ingress.kubernetes.io/no-such is not understood by this ingress controller",
    );
    return true;
  });
  const foreign = JSON.parse(ingress("foreign", { host: "foreign.example.com" })) as {
    spec: Record<string, unknown>;
  };
  foreign.spec.ingressClassName = "other";
  await apply(JSON.stringify(foreign));
  await answer("http://odd.example.com/", ok);
  expect((await ask("http://foreign.example.com/")).status).toBe(404);
});
