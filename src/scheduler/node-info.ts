/** A node with what is asked of it again and again, and what the pods on it take. */
import type { corev1 } from "#api";
import type { HostPort, PodInfo } from "./pod-info.ts";
import type { Resources } from "./resources.ts";

export type Node = Readonly<corev1.Node>;

export interface NodeInfo {
  readonly name: string;
  /** Small, and its own for as long as the node is there. */
  readonly slot: number;
  readonly node: Node;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Readonly<corev1.Taint>[];
  readonly allocatable: Readonly<Resources>;
  readonly requested: Readonly<Resources>;
  readonly assumed: Readonly<Resources>;
  readonly pods: ReadonlyMap<string, PodInfo>;
  readonly hostPorts: readonly HostPort[];
  /** Bytes by image name. */
  readonly images: ReadonlyMap<string, number>;
}
