/** A real node for tests: containerd, a bridge-less network, a kubelet with its server, and an API in memory. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configMaps, type corev1, type Draft, pods, serviceAccounts } from "#api";
import { type Clock, createLogger, createWorld, runOk, systemClock, systemRandom, type World } from "#base";
import type { Client } from "#client";
import { type Kubelet, type KubeletConfig, startKubelet } from "#kubelet";
import {
  buildImage,
  busyboxLayer,
  type Containerd,
  startContainerd,
  stopContainerd,
  unmountBelow,
} from "#runtime";
import { openEmbeddedStore } from "#store";
import { startTestServer } from "../../src/apiserver/testing/start.ts";
import { createAuthority, type KeyPair } from "../../src/distro/certificates.ts";
import { createCgroups } from "../../src/kubelet/cgroups.ts";

export const testImage = "knarr.local/busybox:1";
const domain = "10.251.0.0/24";

export interface Credentials extends KeyPair {
  ca: string;
}

/** A certificate authority with a server's and a client's certificate, for the length of a test. */
export async function testCertificates(
  organization: string,
): Promise<{ server: Credentials; client: Credentials }> {
  const ca = await createAuthority({ clock: systemClock, random: systemRandom }, "test-ca");
  const [server, client] = await Promise.all([
    ca.issue({ commonName: "node", use: "server", addresses: ["127.0.0.1"] }),
    ca.issue({ commonName: "tester", organizations: [organization], use: "client" }),
  ]);
  return { server: { ...server, ca: ca.cert }, client: { ...client, ca: ca.cert } };
}

export interface TestNode {
  client: Client;
  containerd: Containerd;
  kubelet: Kubelet;
  dir: string;
  cgroupRoot: string;
  credentials: Credentials;
  /** Ends the kubelet and starts another; containers go on. */
  restartKubelet(): Promise<void>;
  createPod(name: string, spec: Draft<corev1.PodSpec>, metadata?: object): Promise<corev1.Pod>;
  /** The pod as soon as `holds` does; undefined once it is gone. */
  until(name: string, holds: (pod: corev1.Pod | undefined) => boolean): Promise<corev1.Pod | undefined>;
  stop(): Promise<void>;
}

/** Whether this machine can run containers at all. */
export function canRunContainers(): boolean {
  const paths = ["/usr/bin/containerd", "/usr/lib/cni/ptp", "/bin/busybox"];
  return process.getuid?.() === 0 && paths.every((p) => existsSync(p));
}

/** An API server in this process, with what controllers would have put into the namespace. */
async function startTestApi(world: World): Promise<{ client: Client; stop(): Promise<void> }> {
  const store = await openEmbeddedStore({ world, memory: true });
  const { client, stop } = await startTestServer({ world, store });
  const account = { namespace: "default", name: "default" };
  await client.create(serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata: account });
  const root = { namespace: "default", name: "kube-root-ca.crt" };
  await client.create(configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: root,
    data: { "ca.crt": "ca" },
  });
  return { client, stop };
}

/** `clock`: of the API and the kubelet; the runtime has the machine's. */
export async function startTestNode(
  config: Partial<KubeletConfig> = {},
  clock: Clock = systemClock,
): Promise<TestNode> {
  const log = createLogger({ level: "warn" });
  const world = createWorld({ log, clock });
  const dir = mkdtempSync(join(tmpdir(), "knarr-node-"));
  const cgroupRoot = `/knarr-test-${world.random.suffix(6)}`;
  const cniConfDir = join(dir, "cni");
  mkdirSync(cniConfDir);
  const ipam = {
    type: "host-local",
    dataDir: join(dir, "ipam"),
    ranges: [[{ subnet: domain }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const network = { cniVersion: "0.4.0", name: "test", plugins: [{ type: "ptp", ipam }] };
  writeFileSync(join(cniConfDir, "10-test.conflist"), JSON.stringify(network));
  const machine = createWorld({ log });
  const containerd = await startContainerd({ dir: join(dir, "containerd"), world: machine, cniConfDir });
  const applets = (await runOk("busybox", ["--list"])).trim().split("\n");
  await containerd.images.import(
    await buildImage({ name: testImage, layers: [busyboxLayer("/bin/busybox", applets)] }),
  );
  const { client, stop: stopApi } = await startTestApi(world);
  const { server, client: credentials } = await testCertificates("system:masters");
  const start = () =>
    startKubelet({
      client,
      world,
      runtime: containerd.runtime,
      nodeName: "node-1",
      nodeAddress: "127.0.0.1",
      clusterDns: "10.96.0.10",
      clusterDomain: "cluster.local",
      podCidr: domain,
      dataDir: join(dir, "kubelet"),
      server: {
        host: "127.0.0.1",
        port: 0,
        tls: { cert: server.cert, key: server.key },
        clientCa: server.ca,
      },
      config: { cgroupRoot, ...config },
    });
  let kubelet = await start();
  await kubelet.registered;
  const get = (name: string) => client.get(pods, { namespace: "default", name }).catch(() => undefined);
  return {
    client,
    containerd,
    get kubelet() {
      return kubelet;
    },
    dir,
    cgroupRoot,
    credentials,
    async restartKubelet() {
      await kubelet.stop();
      kubelet = await start();
    },
    createPod: (name, spec, metadata = {}) =>
      client.create(pods, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: "default", ...metadata },
        spec: { nodeName: "node-1", restartPolicy: "Always", terminationGracePeriodSeconds: 5, ...spec },
      }),
    async until(name, holds) {
      const deadlineMs = systemClock.monotonic() + 60_000;
      for (;;) {
        const pod = await get(name);
        if (holds(pod)) return pod;
        if (systemClock.monotonic() > deadlineMs)
          throw new Error(`${name} never came there: ${JSON.stringify(pod?.status)}`);
        await systemClock.sleep(20);
      }
    },
    async stop() {
      await kubelet.stop();
      await stopApi();
      await containerd.release();
      await stopContainerd({ dir: join(dir, "containerd"), world, cniConfDir });
      await createCgroups().remove(cgroupRoot);
      await unmountBelow(dir);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
