/** Probes: who is restarted, who is ready, and who is left alone. */
import { expect } from "vitest";
import { type corev1, type Draft, pods } from "#api";
import { never } from "../../eventually.ts";
import { createPod, shell } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";

type Probe = Draft<corev1.Probe>;

const restarts = (pod: corev1.Pod) => pod.status?.containerStatuses?.[0]?.restartCount ?? 0;

function probed(given: Given, script: string, probes: { livenessProbe?: Probe; readinessProbe?: Probe }) {
  return running(given, shell(given.image, script, probes));
}

async function running(given: Given, container: Draft<corev1.Container>) {
  const spec = { restartPolicy: "Always" as const, containers: [container] };
  const name = await createPod(given, { spec });
  const all = given.kube.resource(pods, given.namespace);
  await all.until(name, ({ status }) => Boolean(status?.containerStatuses?.[0]?.state?.running));
  return { name, all };
}

/** Long enough for several rounds of a probe. */
const watchMs = 12_000;

function staysAlive(id: string, title: string, script: string, livenessProbe: Probe): void {
  conformance(id, title, async (given) => {
    const { name, all } = await probed(given, script, { livenessProbe });
    await never("a restart", async () => (restarts(await all.get(name)) > 0 ? true : undefined), watchMs);
  });
}

function isRestarted(id: string, title: string, script: string, livenessProbe: Probe): void {
  conformance(id, title, async (given) => {
    const { name, all } = await probed(given, script, { livenessProbe });
    const pod = await all.until(name, (each) => restarts(each) >= 1, 120_000);
    expect(restarts(pod)).toBeGreaterThanOrEqual(1);
  });
}

const quick = { periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 2 };
const file: Probe = { exec: { command: ["cat", "/tmp/health"] }, ...quick };
const serve =
  "mkdir -p /www && cd /www && echo ok > healthz && echo ok > index.html && httpd -p 8080 -h /www";

staysAlive(
  "node-6f50b9",
  "A file that stays keeps its container alive",
  "echo ok > /tmp/health; sleep 600",
  file,
);
isRestarted(
  "node-07f564",
  "A file that goes restarts its container",
  "echo ok > /tmp/health; sleep 5; rm -f /tmp/health; sleep 600",
  file,
);
staysAlive(
  "node-158e63",
  "An open port keeps its container alive",
  `${serve}; sleep 5; rm /www/healthz; sleep 600`,
  { tcpSocket: { port: 8080 }, ...quick },
);
staysAlive("node-422d2b", "An answer keeps its container alive", `${serve}; sleep 600`, {
  httpGet: { path: "/", port: 8080 },
  ...quick,
  initialDelaySeconds: 5,
});
isRestarted(
  "node-b0d850",
  "An error in the answer restarts its container",
  `${serve}; sleep 5; rm /www/healthz; sleep 600`,
  {
    httpGet: { path: "/healthz", port: 8080 },
    ...quick,
  },
);
isRestarted("node-f2ce8b", "A gRPC service that is not there restarts its container", "sleep 600", {
  grpc: { port: 2333 },
  ...quick,
});

conformance("node-5eef6f", "A gRPC service that answers keeps its container alive", async (given) => {
  const { name, all } = await running(given, {
    name: "test",
    image: given.agnhost,
    imagePullPolicy: "IfNotPresent",
    command: ["/agnhost", "grpc-health-checking"],
    livenessProbe: { grpc: { port: 5000, service: "" }, ...quick, initialDelaySeconds: 5, timeoutSeconds: 5 },
  });
  await never("a restart", async () => (restarts(await all.get(name)) > 0 ? true : undefined), watchMs);
});

conformance(
  "node-06e414",
  "A container that fails its probe again and again is counted each time",
  async (given) => {
    const { name, all } = await probed(given, `${serve}; sleep 5; rm /www/healthz; sleep 600`, {
      livenessProbe: { httpGet: { path: "/healthz", port: 8080 }, ...quick, initialDelaySeconds: 5 },
    });
    let highest = 0;
    await all.until(
      name,
      (pod) => {
        expect(restarts(pod)).toBeGreaterThanOrEqual(highest);
        highest = restarts(pod);
        return highest >= 5;
      },
      360_000,
    );
  },
  { timeoutMs: 400_000 },
);

const readiness = (command: string, more: Probe = {}): Probe => ({
  exec: { command: ["sh", "-c", command] },
  periodSeconds: 1,
  ...more,
});
const isReady = (pod: corev1.Pod) =>
  pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;

conformance(
  "node-b84ea9",
  "A pod is ready after its delay at the earliest, and never restarted",
  async (given) => {
    const delaySeconds = 6;
    const { name, all } = await probed(given, "sleep 600", {
      readinessProbe: readiness("true", { initialDelaySeconds: delaySeconds }),
    });
    const pod = await all.until(name, isReady);
    const readyAt = Date.parse(
      pod.status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime ?? "",
    );
    const startedAt = Date.parse(pod.status?.containerStatuses?.[0]?.state?.running?.startedAt ?? "");
    expect(readyAt - startedAt).toBeGreaterThanOrEqual((delaySeconds - 1) * 1000);
    expect(restarts(pod)).toBe(0);
  },
);

conformance("node-cfb62f", "A pod whose probe fails is never ready, and never restarted", async (given) => {
  const { name, all } = await probed(given, "sleep 600", {
    readinessProbe: readiness("false", { initialDelaySeconds: 1 }),
  });
  await never("readiness", async () => (isReady(await all.get(name)) ? true : undefined), watchMs);
  expect(restarts(await all.get(name))).toBe(0);
});
