/**
 * The cluster under test: the one of CONFORMANCE_KUBECONFIG, whoever built it, or else a real one of our own, started as a
 * user would and with busybox made from the machine's own.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { run } from "#base";
import { installPackages, pathsOf } from "#distro";
import { knarr } from "../e2e/knarr.ts";
import { findKubectls, type Kubectl } from "../e2e/kubectl.ts";
import { startRegistry, type TestRegistry } from "../e2e/registry-server.ts";
import { agnhostImage, writeAgnhostImage } from "./agnhost.ts";

declare module "vitest" {
  interface ProvidedContext {
    conformanceKubeconfig: string;
    conformanceImage: string;
    conformanceAgnhost: string;
    conformanceRegistryImage: string;
    conformanceKubectl: Kubectl;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const kubectl = (await findKubectls()).at(-1);
  if (!kubectl) throw new Error("there is no kubectl on this machine");
  project.provide("conformanceKubectl", kubectl);
  // Any image with a shell and the usual small commands; clusters with a registry at hand find this one there.
  project.provide("conformanceImage", process.env.CONFORMANCE_IMAGE ?? "busybox:1.36");
  const given = process.env.CONFORMANCE_KUBECONFIG;
  if (given) {
    const agnhost = process.env.CONFORMANCE_AGNHOST ?? "registry.k8s.io/e2e-test-images/agnhost:2.56";
    project.provide("conformanceAgnhost", agnhost);
    project.provide("conformanceRegistryImage", agnhost);
    project.provide("conformanceKubeconfig", given);
    return async () => {};
  }
  return ownCluster(project);
}

/** One entry sees a container crash five times: nobody wants to wait minutes for it. */
const kubeletSettings = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
crashLoopBackOff: { maxContainerRestartPeriod: 5s }
`;

/** The second node's loopback is not the machine's: to both nodes the registry is at the machine's address. */
async function tellOfRegistry(name: string, { host, port }: TestRegistry): Promise<void> {
  const { dir } = pathsOf(name);
  const { nodeAddress } = JSON.parse(await readFile(join(dir, "cluster.json"), "utf8")) as {
    nodeAddress: string;
  };
  const folder = join(dir, "registries", host);
  await mkdir(folder, { recursive: true });
  const server = `"http://${nodeAddress}:${port}"`;
  await writeFile(join(folder, "hosts.toml"), `server = ${server}\n\n[host.${server}]\n`);
}

async function ownCluster(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "knarr-conformance-"));
  const env = { KUBECONFIG: join(folder, "kubeconfig") };
  const name = `conformance-${process.pid}`;
  if (!existsSync("/bin/busybox")) await installPackages(["busybox-static"]);
  try {
    // One entry waits until history has been forgotten.
    const short = { ...env, KNARR_COMPACTION_INTERVAL: "30" };
    const settings = join(folder, "kubelet.yaml");
    await writeFile(settings, kubeletSettings);
    const up = ["up", "--name", name, "--nodes", "3", "--kubelet-config", settings];
    process.stdout.write(await knarr(up, { env: short }));
    process.stdout.write(await knarr(["image", "busybox", "--name", name], { env }));
    const archive = join(folder, "agnhost.tar");
    await writeAgnhostImage(archive);
    process.stdout.write(await knarr(["image", "load", archive, "--name", name], { env }));
    await rm(archive);
  } catch (error) {
    await run("./knarr", ["down", "--purge", "--name", name], { env });
    throw error;
  }
  project.provide("conformanceKubeconfig", env.KUBECONFIG);
  project.provide("conformanceAgnhost", agnhostImage);
  const registry = await startRegistry({ withLogin: false, everywhere: true });
  await tellOfRegistry(name, registry);
  await registry.pushBusybox("fleet/files", "1");
  project.provide("conformanceRegistryImage", `${registry.host}/fleet/files:1`);
  return async () => {
    await registry.stop();
    await knarr(["down", "--purge", "--name", name], { env });
    await rm(folder, { recursive: true, force: true });
  };
}
