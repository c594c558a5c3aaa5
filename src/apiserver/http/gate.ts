/**
 * How many requests of this process' own components are at work at once. A burst waits its turn; what would hold too much
 * memory while it waits is refused with 429. Who comes over a socket is under flow control (`flow-control/`).
 */
import { tooManyRequests } from "#api";

export interface GateLimits {
  /** Requests at work at the same time. */
  seatsMax: number;
  waitingMax: number;
  /** Bytes of the bodies that wait. */
  waitingMaxBytes: number;
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
