/** Devices by claims on a real node: prepared by their driver, given to the container, taken back after the pod. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { events, pods, resourceClaims } from "#api";
import { startTestClaimDriver, type TestClaimDriver } from "../../src/kubelet/testing/claim-driver.ts";
import { eventually } from "./harness.ts";
import { canRunContainers, startTestNode, type TestNode, testImage } from "./kubelet-node.ts";

const driver = "toys.example.com";
const kind = `${driver}/toy`;
const specFile = `/var/run/cdi/knarr-test-${process.pid}.json`;

describe.skipIf(!canRunContainers())("devices by claims", () => {
  let node: TestNode;
  let toys: TestClaimDriver;

  beforeAll(async () => {
    mkdirSync("/var/run/cdi", { recursive: true });
    const deviceNodes = [{ path: "/dev/toy", hostPath: "/dev/null", permissions: "rw" }];
    const containerEdits = { env: ["TOY=drum"], deviceNodes };
    const spec = { cdiVersion: "0.6.0", kind, devices: [{ name: "drum", containerEdits }] };
    writeFileSync(specFile, JSON.stringify(spec));
    node = await startTestNode();
    const devices = [
      { requestNames: ["toy"], poolName: "node-1", deviceName: "drum", cdiDeviceIds: [`${kind}=drum`] },
    ];
    toys = await startTestClaimDriver(join(node.dir, "kubelet"), driver, devices);
  });
  afterAll(async () => {
    toys?.stop();
    await node.stop();
    rmSync(specFile, { force: true });
  });

  test("a pod waits for its claim, has its device, and gives it back", async () => {
    const ref = { namespace: "default", name: "toy" };
    await node.client.create(resourceClaims, {
      metadata: ref,
      spec: { devices: { requests: [{ name: "toy", exactly: { deviceClassName: "toys" } }] } },
    });
    const pod = await node.createPod("player", {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 0,
      resourceClaims: [{ name: "mine", resourceClaimName: "toy" }],
      containers: [
        {
          name: "main",
          image: testImage,
          command: ["sh", "-c", 'test -c /dev/toy && test "$TOY" = drum && sleep 600'],
          resources: { claims: [{ name: "mine" }] },
        },
      ],
    });
    await eventually("the event", async () => {
      const { items } = await node.client.list(events, { namespace: "default" });
      return items
        .find(({ reason }) => reason === "FailedPrepareDynamicResources")
        ?.message?.includes("not allocated");
    });
    const results = [{ request: "toy", driver, pool: "node-1", device: "drum" }];
    const reservedFor = [{ resource: "pods", name: "player", uid: pod.metadata.uid }];
    const status = { allocation: { devices: { results } }, reservedFor };
    await node.client.patch(resourceClaims, ref, "merge", { status }, { subresource: "status" });
    await node.until("player", (each) => each?.status?.phase === "Running");
    expect(toys.prepared).toEqual(["toy"]);
    const isTold = (health: string, message?: string) =>
      node.until("player", (each) => {
        const [{ name, resources = [] } = { name: "" }] =
          each?.status?.containerStatuses?.[0]?.allocatedResourcesStatus ?? [];
        const [device] = resources;
        return (
          name === "claim:mine" &&
          device?.resourceID === `${kind}=drum` &&
          device.health === health &&
          device.message === message
        );
      });
    await isTold("Unknown");
    await eventually("the kubelet listening", async () => (toys.listening > 0 ? true : undefined));
    const device = { poolName: "node-1", deviceName: "drum" };
    toys.tell([{ device, health: "UNHEALTHY", message: "torn" }]);
    await isTold("Unhealthy", "torn");
    await node.restartKubelet();
    await node.client.delete(pods, { namespace: "default", name: "player" });
    await node.until("player", (each) => each === undefined);
    // The driver has to make itself known to the new kubelet first.
    await eventually("the claim given back", async () => (toys.unprepared.length > 0 ? true : undefined));
    expect([toys.prepared, toys.unprepared]).toEqual([["toy"], ["toy"]]);
  });

  test("a container has the device behind a resource that it asks for", async () => {
    const [claim, resource] = [{ namespace: "default", name: "drummer-x" }, "example.com/toy"];
    const before = toys.prepared.length;
    await node.client.create(resourceClaims, {
      metadata: claim,
      spec: { devices: { requests: [{ name: "toy", exactly: { deviceClassName: "toys" } }] } },
    });
    const metadata = { namespace: "default", name: "drummer" };
    const command = ["sh", "-c", 'test -c /dev/toy && test "$TOY" = drum && sleep 600'];
    const pod = await node.client.create(pods, {
      metadata,
      spec: {
        restartPolicy: "Never",
        terminationGracePeriodSeconds: 0,
        containers: [
          { name: "main", image: testImage, command, resources: { limits: { [resource]: 1 } } },
          { name: "other", image: testImage, command: ["sh", "-c", "test ! -e /dev/toy && sleep 600"] },
        ],
      },
    });
    const results = [{ request: "toy", driver, pool: "node-1", device: "drum" }];
    const reservedFor = [{ resource: "pods", name: metadata.name, uid: pod.metadata.uid }];
    const status = { allocation: { devices: { results } }, reservedFor };
    const toStatus = { subresource: "status" } as const;
    await node.client.patch(resourceClaims, claim, "merge", { status }, toStatus);
    const requestMappings = [{ containerName: "main", resourceName: resource, requestName: "toy" }];
    const extendedResourceClaimStatus = { resourceClaimName: claim.name, requestMappings };
    await node.client.patch(pods, metadata, "merge", { status: { extendedResourceClaimStatus } }, toStatus);
    const target = { apiVersion: "v1", kind: "Node", name: "node-1" };
    await node.client.post(pods, metadata, "binding", {
      ...{ apiVersion: "v1", kind: "Binding", metadata, target },
    });
    await node.until(metadata.name, (each) => each?.status?.phase === "Running");
    const isReady = (each: { ready: boolean }) => each.ready;
    await node.until(metadata.name, (each) => each?.status?.containerStatuses?.every(isReady) ?? false);
    expect(toys.prepared.slice(before)).toEqual([claim.name]);
    await node.client.delete(pods, metadata);
    await node.until(metadata.name, (each) => each === undefined);
  });
});
