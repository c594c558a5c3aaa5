/**
 * Takes a pod's processors, memory and devices before anything of it is begun, so that they lie together as the policy
 * says. https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/
 */
import type { corev1 } from "#api";
import { AllocationError } from "../devices/allocation.ts";
import { decide, type Hints, type TopologyRules } from "./hints.ts";
import type { NumaMask } from "./numa.ts";

type Pod = Readonly<corev1.Pod>;
type Container = Readonly<corev1.Container>;

/** Who has something that lies on NUMA nodes. */
export interface HintProvider {
  /** Of a container, or of the whole pod. */
  hints(pod: Pod, container: Container | undefined): Hints;
  /** Idempotent. Throws `AllocationError`. */
  allocate(pod: Pod, container: Container, mask: NumaMask | undefined): Promise<void>;
}

export interface TopologyManager {
  /** Idempotent: what a container has it keeps. Throws `AllocationError`. */
  place(pod: Pod): Promise<void>;
}

export interface TopologyManagerOptions {
  rules: TopologyRules;
  scope: "container" | "pod";
  providers: readonly HintProvider[];
}

export function createTopologyManager({ rules, scope, providers }: TopologyManagerOptions): TopologyManager {
  let turn: Promise<unknown> = Promise.resolve();

  function maskFor(pod: Pod, container: Container | undefined): NumaMask | undefined {
    if (rules.policy === "none") return undefined;
    const { hint, admitted } = decide(
      rules,
      providers.map((provider) => provider.hints(pod, container)),
    );
    if (admitted) return hint.mask;
    throw new AllocationError(
      "Resources cannot be allocated with Topology locality",
      "TopologyAffinityError",
    );
  }

  async function place(pod: Pod): Promise<void> {
    const whole = scope === "pod" ? maskFor(pod, undefined) : undefined;
    for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
      const mask = scope === "pod" ? whole : maskFor(pod, container);
      for (const provider of providers) await provider.allocate(pod, container, mask);
    }
  }

  return {
    // One after the other: what is free for one must not be taken by another meanwhile.
    place(pod) {
      const next = turn.then(() => place(pod));
      turn = next.catch(() => undefined);
      return next;
    },
  };
}
