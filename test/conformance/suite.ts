/**
 * `conformance(id, title, body)`: a test for one entry of the official conformance list of Kubernetes v1.36. Each has a
 * namespace of its own, talks through stock clients only, and would pass on any real Kubernetes.
 * https://github.com/kubernetes/kubernetes/blob/master/test/conformance/testdata/conformance.yaml
 */
import { inject, test } from "vitest";
import { namespaces } from "#api";
import { KubectlRunner } from "../e2e/kubectl.ts";
import { eventually } from "../eventually.ts";
import { Kube } from "./kube.ts";

export interface Given {
  kube: Kube;
  /** This test's own namespace; its end ends everything in it. */
  namespace: string;
  kubectl: KubectlRunner;
  /** An image with a shell and the usual small commands. */
  image: string;
  /** Kubernetes' own test image, or what stands in for it: `/agnhost netexec`, `/agnhost grpc-health-checking`. */
  agnhost: string;
  /** An image that a registry has: to be pulled. It has a folder `bin`. */
  registryImage: string;
  /** Runs once the test is over, passed or not. */
  afterwards(work: () => unknown): void;
  /** A name that no other test uses, for objects that stand in no namespace. */
  unique(name: string): string;
}

export interface Needs {
  /** Changes what other tests see (nodes, priority levels…): runs alone. */
  serial?: boolean;
  timeoutMs?: number;
}

const defaultTimeoutMs = 180_000;

export function conformance(
  id: string,
  title: string,
  body: (given: Given) => Promise<void>,
  needs: Needs = {},
): void {
  const register = needs.serial ? test : test.concurrent;
  register(`${title} [${id}]`, () => inNamespace(id, body), needs.timeoutMs ?? defaultTimeoutMs);
}

async function inNamespace(id: string, body: (given: Given) => Promise<void>): Promise<void> {
  const kubeconfig = inject("conformanceKubeconfig");
  const kube = Kube.fromFile(kubeconfig);
  const all = kube.resource(namespaces);
  const created = await all.create({
    metadata: { generateName: `${id}-`, labels: { "pod-security.kubernetes.io/enforce": "privileged" } },
  });
  const namespace = created.metadata.name ?? "";
  const kubectl = new KubectlRunner(inject("conformanceKubectl").path, kubeconfig);
  const ends: (() => unknown)[] = [];
  const afterwards = (work: () => unknown) => ends.push(work);
  const unique = (name: string) => `${namespace}-${name}`;
  try {
    await withServiceAccount(kube, namespace);
    const images = {
      image: inject("conformanceImage"),
      agnhost: inject("conformanceAgnhost"),
      registryImage: inject("conformanceRegistryImage"),
    };
    await body({ kube, namespace, kubectl, ...images, unique, afterwards });
  } finally {
    for (const end of ends) await end();
    await all.delete(namespace);
  }
}

/** Pods of a namespace are refused until its service account is there. */
function withServiceAccount(kube: Kube, namespace: string): Promise<unknown> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/default`;
  return eventually("the namespace's service account", async () =>
    (await kube.send("GET", path)).code === 200 ? true : undefined,
  );
}
