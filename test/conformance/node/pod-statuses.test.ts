/** What of a pod changes once it runs: its status, its labels, its ephemeral containers. */
import { expect } from "vitest";
import { type corev1, type Draft, pods } from "#api";
import { eventually } from "../../eventually.ts";
import { podSpec, sleeper } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";

async function running({ kube, namespace, image }: Given, name: string, labels: Record<string, string> = {}) {
  const all = kube.resource(pods, namespace);
  await all.create({ metadata: { name, labels }, spec: podSpec(image) });
  await all.until(name, ({ status }) => status?.phase === "Running");
  return all;
}

conformance("node-b32a5e", "The status of a pod is patched", async (given) => {
  const all = await running(given, "patched");
  const patch = { status: { message: "Patched by e2e test", reason: "E2E" } };
  const patched = await all.patch("patched", "strategic", patch, "status");
  expect(patched.status).toMatchObject(patch.status);
  expect(patched.status?.phase).toBe("Running");
});

conformance("node-a7bfeb", "A pod lives: patched, told its status, deleted", async (given) => {
  const { kube, namespace, image } = given;
  const labels = { "test-pod-static": namespace };
  const labelSelector = `test-pod-static=${namespace}`;
  const all = kube.resource(pods, namespace);
  using watched = await all.watch({ labelSelector });
  const spec = podSpec(image, { terminationGracePeriodSeconds: 1 });
  await all.create({ metadata: { name: "lived", labels }, spec });
  await watched.next("ADDED");
  await watched.next("MODIFIED", ({ status }) => status?.phase === "Running");
  const patched = await all.patch("lived", "strategic", {
    metadata: { labels: { "test-pod": "patched" } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "main", image: `docker.io/library/${image}` }],
    },
  });
  expect(patched.metadata.labels).toEqual({ ...labels, "test-pod": "patched" });
  await watched.next("MODIFIED", ({ metadata }) => metadata.labels?.["test-pod"] === "patched");
  await all.until("lived", ({ status }) =>
    Boolean(status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True")),
  );
  const replaced = await all.update(
    "lived",
    ({ status }) => {
      for (const condition of status?.conditions ?? [])
        if (condition.type === "Ready") condition.status = "False";
    },
    "status",
  );
  expect(replaced.status?.conditions?.find(({ type }) => type === "Ready")?.status).toBe("False");
  await all.deleteCollection({ labelSelector }, { gracePeriodSeconds: 1 });
  await watched.next("DELETED");
  await all.untilGone("lived");
});

const debugContainer = (image: string, name: string) => ({
  ...(sleeper(image) as corev1.Container),
  name,
});

/** Adds one to those that are there, and waits until it runs. */
async function debug(
  { image }: Given,
  all: Awaited<ReturnType<typeof running>>,
  name: string,
): Promise<void> {
  const { spec } = await all.get("debugged");
  const container = debugContainer(image, name) as Draft<corev1.EphemeralContainer>;
  const ephemeralContainers = [...(spec.ephemeralContainers ?? []), container];
  await all.patch("debugged", "strategic", { spec: { ephemeralContainers } }, "ephemeralcontainers");
  await all.until("debugged", ({ status }) =>
    Boolean(status?.ephemeralContainerStatuses?.some((each) => each.name === name && each.state?.running)),
  );
}

async function says({ kubectl, namespace }: Given, container: string): Promise<void> {
  const exec = ["exec", "debugged", "--namespace", namespace, "-c", container, "--", "echo", "marco"];
  await eventually(`an answer of ${container}`, async () =>
    (await kubectl.ok(exec)).trim() === "marco" ? true : undefined,
  );
}

conformance("node-7b1045", "An ephemeral container joins a running pod", async (given) => {
  const all = await running(given, "debugged");
  await debug(given, all, "debugger");
  await says(given, "debugger");
});

conformance("node-3880d4", "The ephemeral containers of a pod are read and replaced", async (given) => {
  const all = await running(given, "debugged");
  await debug(given, all, "debugger");
  const read = await all.get("debugged", "ephemeralcontainers");
  expect(read.spec.ephemeralContainers?.map(({ name }) => name)).toEqual(["debugger"]);
  const replaced = await all.update(
    "debugged",
    ({ spec }) => {
      const second = debugContainer(given.image, "second") as corev1.EphemeralContainer;
      spec.ephemeralContainers = [...(spec.ephemeralContainers ?? []), second];
    },
    "ephemeralcontainers",
  );
  expect(replaced.spec.ephemeralContainers).toHaveLength(2);
  await all.until("debugged", ({ status }) =>
    Boolean(
      status?.ephemeralContainerStatuses?.some((each) => each.name === "second" && each.state?.running),
    ),
  );
  await says(given, "second");
});
