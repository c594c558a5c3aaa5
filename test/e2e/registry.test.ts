/** Images from a registry: pulled, refused, not there; with and without a login. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, newestKubectl } from "./harness.ts";
import type { KubectlRunner } from "./kubectl.ts";
import { login, startRegistry, type TestRegistry } from "./registry-server.ts";

let open: TestRegistry;
let closed: TestRegistry;
let kubectl: KubectlRunner;
const namespace = "registry";

beforeAll(async () => {
  kubectl = newestKubectl();
  [open, closed] = await Promise.all([
    startRegistry({ withLogin: false }),
    startRegistry({ withLogin: true }),
  ]);
  await Promise.all([open.pushBusybox("fleet/web", "1.0"), closed.pushBusybox("fleet/secret", "1.0")]);
  await kubectl.ok(["create", "namespace", namespace]);
});

afterAll(async () => {
  await kubectl.try(["delete", "namespace", namespace, "--timeout=60s"]);
  await Promise.all([open?.stop(), closed?.stop()]);
});

interface PodSeen {
  status: {
    phase: string;
    containerStatuses?: {
      imageID: string;
      state: {
        waiting?: { reason: string; message: string };
        running?: object;
        terminated?: { exitCode: number };
      };
    }[];
  };
}

async function run(
  name: string,
  image: string,
  more: object = {},
  imagePullPolicy = "Always",
): Promise<void> {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace },
    spec: {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "main", image, imagePullPolicy, command: ["cat", "/image"] }],
      ...more,
    },
  };
  await kubectl.ok(["create", "-f", "-"], { input: JSON.stringify(pod) });
}

function seen(name: string, wanted: (pod: PodSeen) => boolean): Promise<PodSeen> {
  return eventually(name, async () => {
    const pod = await kubectl.json<PodSeen>(["get", "pod", name, "-n", namespace]);
    return wanted(pod) ? pod : undefined;
  });
}

const waiting = (pod: PodSeen) => pod.status.containerStatuses?.[0]?.state.waiting;
const failsWith =
  (...reasons: string[]) =>
  (pod: PodSeen) =>
    reasons.includes(waiting(pod)?.reason ?? "");
const describe = (name: string) => kubectl.ok(["describe", "pod", name, "-n", namespace]);

/** A private registry's login the way users make it. */
async function createSecret(name: string, password: string): Promise<void> {
  const options = [
    `--docker-server=${closed.host}`,
    `--docker-username=${login.username}`,
    `--docker-password=${password}`,
  ];
  await kubectl.ok(["create", "secret", "docker-registry", name, "-n", namespace, ...options]);
}

test("an image is pulled from a registry and runs", async () => {
  await run("pulled", `${open.host}/fleet/web:1.0`);
  const pod = await seen("pulled", (p) => p.status.phase === "Succeeded");
  expect(pod.status.containerStatuses![0]!.imageID).toMatch(/@sha256:[0-9a-f]{64}$/);
  expect(await kubectl.ok(["logs", "pulled", "-n", namespace])).toBe("fleet/web:1.0");
  const said = await describe("pulled");
  expect(said).toContain(`Pulling image "${open.host}/fleet/web:1.0"`);
  expect(said).toMatch(/Successfully pulled image "[^"]+" in \S+ \(\S+ including waiting\)/);
});

test("a tag that is not there: ErrImagePull, ImagePullBackOff, and the reason in the description", async () => {
  await run("no-tag", `${open.host}/fleet/web:2.0`);
  const failed = await seen("no-tag", failsWith("ErrImagePull", "ImagePullBackOff"));
  expect(waiting(failed)!.message).toMatch(/fleet\/web:2\.0.*not found/s);
  const held = await seen("no-tag", failsWith("ImagePullBackOff"));
  expect(held.status.phase).toBe("Pending");
  const said = await describe("no-tag");
  expect(said).toMatch(/Failed to pull image "[^"]+fleet\/web:2\.0":.*not found/);
  expect(said).toContain("Back-off pulling image");
  await open.pushBusybox("fleet/web", "2.0");
  await seen("no-tag", (p) => p.status.phase === "Succeeded");
});

test("a registry where nobody listens says so", async () => {
  await run("nobody", "127.0.0.1:1/fleet/web:1.0");
  const failed = await seen("nobody", failsWith("ErrImagePull", "ImagePullBackOff"));
  expect(waiting(failed)!.message).toContain("connection refused");
});

test("a registry with a login: not without the secret, not with a wrong one, but with it", async () => {
  const image = `${closed.host}/fleet/secret:1.0`;
  await createSecret("right", login.password);
  await createSecret("wrong", "guess");
  await run("without", image);
  await run("wrong", image, { imagePullSecrets: [{ name: "wrong" }] });
  await run("missing", image, { imagePullSecrets: [{ name: "nowhere" }] });
  await run("right", image, { imagePullSecrets: [{ name: "right" }] });
  await seen("right", (p) => p.status.phase === "Succeeded");
  expect(await kubectl.ok(["logs", "right", "-n", namespace])).toBe("fleet/secret:1.0");
  for (const name of ["without", "wrong", "missing"]) {
    const pod = await seen(name, failsWith("ErrImagePull", "ImagePullBackOff"));
    expect(waiting(pod)!.message).toMatch(/no basic auth credentials|401 Unauthorized|authorization failed/);
  }
  expect(await describe("missing")).toMatch(/Unable to retrieve some image pull secrets \(nowhere\)/);
  // The image is on the node by now: whoever could not have pulled it may not have it.
  await run("later", image, {}, "IfNotPresent");
  await seen("later", failsWith("ErrImagePull", "ImagePullBackOff"));
  const secrets = { imagePullSecrets: [{ name: "wrong" }, { name: "right" }] };
  await run("entitled", image, secrets, "IfNotPresent");
  await seen("entitled", (p) => p.status.phase === "Succeeded");
  expect(await describe("entitled")).toContain("already present on machine and can be accessed by the pod");
});
