/** What end-to-end tests share: the cluster's kubectl, waiting, and HTTP. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inject, test } from "vitest";
import { KubectlRunner } from "./kubectl.ts";

export { eventually } from "../eventually.ts";

export const root = join(import.meta.dirname, "../..");

/** The newest kubectl found. */
export function newestKubectl(): KubectlRunner {
  return new KubectlRunner(inject("kubectls").at(-1)!.path, inject("kubeconfig"));
}

/** For what needs a kubectl of Kubernetes 1.27 or newer: Debian's own is older and has neither the flags nor the kinds. */
export const needsRecentKubectl = test.skipIf(Number(inject("kubectls").at(-1)!.version.split(".")[1]) < 27);

export function example(name: string): string {
  return readFileSync(join(root, "examples", name), "utf8");
}

/** The body of a GET; throws for anything but 200. */
export async function get(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000), headers: { connection: "close" } });
  if (response.status !== 200) throw new Error(`${url}: ${response.status}`);
  return response.text();
}

/** The address of the cluster's node. */
export async function nodeAddress(kubectl: KubectlRunner): Promise<string> {
  return kubectl.ok([
    "get",
    "nodes",
    "-o",
    "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}",
  ]);
}
