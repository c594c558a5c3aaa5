/** One real cluster for the end-to-end tests: `knarr up` as a user would type it, busybox made from the machine's own. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { run } from "#base";
import { installPackages } from "#distro";
import { knarr } from "./knarr.ts";
import { findKubectls, type Kubectl } from "./kubectl.ts";
import { stockClients } from "./stock-clients.ts";

declare module "vitest" {
  interface ProvidedContext {
    clusterName: string;
    kubeconfig: string;
    kubectls: Kubectl[];
    /** Empty where there is none. */
    helm: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "knarr-e2e-"));
  const kubeconfig = join(folder, "kubeconfig");
  const env = { KUBECONFIG: kubeconfig };
  const clusterName = `e2e-${process.pid}`;
  if (!existsSync("/bin/busybox")) await installPackages(["busybox-static"]);
  const kubectls = await findKubectls();
  try {
    process.stdout.write(await knarr(["up", "--name", clusterName], { env }));
    process.stdout.write(await knarr(["image", "busybox", "--name", clusterName], { env }));
  } catch (error) {
    process.stdout.write((await run("./knarr", ["logs", "--name", clusterName, "--tail", "40"])).stdout);
    await run("./knarr", ["down", "--purge", "--name", clusterName], { env });
    throw error;
  }
  project.provide("clusterName", clusterName);
  project.provide("kubeconfig", kubeconfig);
  project.provide("kubectls", kubectls);
  project.provide("helm", (await stockClients())?.helm ?? "");
  return async () => {
    await knarr(["down", "--purge", "--name", clusterName], { env });
    await rm(folder, { recursive: true, force: true });
  };
}
