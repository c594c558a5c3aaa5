/** What the rooms agree on about the pod network: who owns the node's addresses and when it can carry pods. */

export interface PodNetworkStatus {
  ready: boolean;
  /** Why it is not, in a sentence. */
  message: string;
}

export interface PodNetwork {
  /** The CIDRs of this node's pods, once known. */
  readonly podCidrs: readonly string[];
  status(): PodNetworkStatus;
  stop(): Promise<void>;
}
