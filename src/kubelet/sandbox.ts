/**
 * A pod's sandbox: what the runtime is asked for, and its making; what cannot be made is told as an event.
 * https://kubernetes.io/docs/concepts/containers/cri/
 */
import type { corev1 } from "#api";
import { failpoint } from "#base";
import { type PodSandboxConfig, rpcWords, type UserNamespace } from "#contracts";
import { sandboxConfig } from "./cri-config.ts";
import { figuresFor, type PodContext } from "./pod-context.ts";
import { ensurePodFolders } from "./pod-files.ts";
import { dnsConfigOf, dnsOmissions, domainNameOf } from "./pod-network-config.ts";
import { cgroupPathOf, podCgroup } from "./pod-resources.ts";
import { unsupportedUsers, wantsOwnUsers } from "./user-namespaces.ts";

/** How the runtime is asked for a sandbox. */
export interface SandboxPlan {
  sandbox: PodSandboxConfig;
  handler: string;
  /** What its resolver does not get of what was asked for. */
  dnsOmissions: readonly string[];
}

/** Throws an `Error` for what this node's runtime cannot do. */
async function usersOf(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  handler: string,
): Promise<UserNamespace | undefined> {
  if (!wantsOwnUsers(pod)) return undefined;
  if (!context.handlers.supports(handler, "userNamespaces")) throw new Error(unsupportedUsers(handler));
  await ensurePodFolders(context, pod);
  return context.userNamespaces.rangeFor(pod.metadata.uid);
}

export function tellOfSandbox(context: PodContext, pod: Readonly<corev1.Pod>, error: unknown): undefined {
  const message = `Failed to create pod sandbox: ${rpcWords(error)}`;
  context.recorder.record(pod as corev1.Pod, "Warning", "FailedCreatePodSandBox", message);
}

export async function planSandbox(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  attempt: number,
): Promise<SandboxPlan> {
  const handler = await context.handlers.of(pod);
  const users = await usersOf(context, pod, handler);
  const dns = await context.dns();
  const sandbox = sandboxConfig({
    users,
    pod,
    attempt,
    logDirectory: context.paths.logDir(pod),
    cgroupParent: cgroupPathOf(context.cgroupRoot, pod),
    dns: dnsConfigOf(pod, dns),
    domainName: domainNameOf(pod, dns.clusterDomain),
    security: context.security,
  });
  return { sandbox, handler, dnsOmissions: dnsOmissions(pod, dns) };
}

/** Answers the sandbox's id, or undefined when it could not be made; that is told as an event. */
export async function createSandbox(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  { sandbox, handler, dnsOmissions }: SandboxPlan,
): Promise<string | undefined> {
  for (const words of dnsOmissions) context.recorder.record(pod, "Warning", "DNSConfigForming", words);
  try {
    const figures = podCgroup(pod, context.podPidsLimit, figuresFor(context, pod));
    await Promise.all([
      ensurePodFolders(context, pod),
      context.cgroups.ensure(cgroupPathOf(context.cgroupRoot, pod), figures),
    ]);
    const id = await context.runtime.runPodSandbox(sandbox, handler);
    failpoint("kubelet/sandbox-made");
    return id;
  } catch (error) {
    return tellOfSandbox(context, pod, error);
  }
}
