/**
 * The requests of one priority level that wait. Flows are dealt over queues, each to a hand of its own, so that one that
 * floods fills its own hand and leaves others theirs (shuffle sharding); queues are served in turn.
 * https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#queuing
 */
import { createHash } from "node:crypto";

export interface QueueSettings {
  queues: number;
  handSize: number;
  queueLengthLimit: number;
}

export interface Waiting {
  enter(): void;
}

export class Queues {
  /** Those in which somebody waits; the first is served next. */
  readonly #queues = new Map<number, Waiting[]>();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** False when every queue of the flow's hand is full. */
  add(settings: QueueSettings, flow: string, waiting: Waiting): boolean {
    const lengthOf = (queue: number) => this.#queues.get(queue)?.length ?? 0;
    const hand = handOf(flow, settings);
    const shortest = hand.reduce((best, queue) => (lengthOf(queue) < lengthOf(best) ? queue : best));
    if (lengthOf(shortest) >= settings.queueLengthLimit) return false;
    const queue = this.#queues.get(shortest);
    if (queue) queue.push(waiting);
    else this.#queues.set(shortest, [waiting]);
    this.#length++;
    return true;
  }

  next(): Waiting | undefined {
    for (const [index, queue] of this.#queues) {
      this.#queues.delete(index);
      const waiting = queue.shift();
      if (queue.length > 0) this.#queues.set(index, queue);
      this.#length--;
      return waiting;
    }
    return undefined;
  }

  /** Whoever gives up leaves the others in their order. */
  remove(waiting: Waiting): boolean {
    for (const [index, queue] of this.#queues) {
      const at = queue.indexOf(waiting);
      if (at < 0) continue;
      queue.splice(at, 1);
      if (queue.length === 0) this.#queues.delete(index);
      this.#length--;
      return true;
    }
    return false;
  }
}

/** Different queues, the same for the same flow, as cards are dealt from a deck. */
export function handOf(
  flow: string,
  { queues, handSize }: Omit<QueueSettings, "queueLengthLimit">,
): number[] {
  let hash = createHash("sha256").update(flow).digest().readBigUInt64LE();
  const hand: number[] = [];
  for (let dealt = 0; dealt < Math.min(handSize, queues); dealt++) {
    const left = BigInt(queues - dealt);
    let card = Number(hash % left);
    hash /= left;
    // The card is one of those that are left: what has been dealt below it moves it on.
    for (const other of [...hand].sort((a, b) => a - b)) if (card >= other) card++;
    hand.push(card);
  }
  return hand;
}
