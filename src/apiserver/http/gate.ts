/**
 * How many requests are at work at once. A burst waits its turn; what would wait too long, or hold too much memory while
 * it waits, is refused with 429. Nodes and components have seats of their own, so that what keeps the cluster alive gets
 * through when workloads ask too much. https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
 */
import { tooManyRequests } from "#api";
import type { User } from "../user.ts";

export interface GateLimits {
  /** Requests at work at the same time. */
  seatsMax: number;
  waitingMax: number;
  /** Bytes of the bodies that wait. */
  waitingMaxBytes: number;
}

/** As the mandatory and suggested flow schemas sort users. */
export type Level = "exempt" | "system" | "workload";

export function levelOf({ username, groups }: User): Level {
  if (groups.includes("system:masters")) return "exempt";
  const isSystem =
    groups.includes("system:nodes") ||
    groups.includes("system:serviceaccounts:kube-system") ||
    username.startsWith("system:kube-");
  return isSystem ? "system" : "workload";
}

interface Waiting {
  bytes: number;
  enter: () => void;
}

export class Gate {
  readonly #limits: GateLimits;
  #taken = 0;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;

  constructor(limits: GateLimits) {
    this.#limits = limits;
  }

  /** Requests at work and waiting. */
  get inFlight(): number {
    return this.#taken + this.#waiting.length;
  }

  /** Runs `work` when there is a seat; first come, first served. */
  async run<R>(bytes: number, work: () => Promise<R>): Promise<R> {
    if (this.#taken < this.#limits.seatsMax) this.#taken++;
    else await this.#wait(bytes);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  #wait(bytes: number): Promise<void> {
    const { waitingMax, waitingMaxBytes } = this.#limits;
    if (this.#waiting.length >= waitingMax || this.#waitingBytes + bytes > waitingMaxBytes) {
      throw tooManyRequests("too many requests, please try again later", 1);
    }
    this.#waitingBytes += bytes;
    return new Promise((enter) => this.#waiting.push({ bytes, enter }));
  }

  /** The seat goes to whoever waits longest. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (!next) {
      this.#taken--;
      return;
    }
    this.#waitingBytes -= next.bytes;
    next.enter();
  }
}
