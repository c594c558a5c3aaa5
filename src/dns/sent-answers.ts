/**
 * Answers about the zone as they were sent: the same question, byte for byte but for its number, has the same answer until
 * the zone changes. Programs ask for few names, again and again; reading the question and writing the answer is most of
 * what an answer costs.
 */

const entriesMax = 10_000;
/** Longer ones are rare, or nothing good. */
const queryMaxBytes = 512;
const numberBytes = 2;

export interface SentAnswer {
  /** What was counted. */
  readonly verdict: string;
  readonly reply: Buffer;
}

export class SentAnswers {
  readonly #answers = new Map<string, SentAnswer>();
  #revision = -1;

  /** With the number of this query. `revision`: of the zone as it is now. */
  get(query: Buffer, overTcp: boolean, revision: number): SentAnswer | undefined {
    if (revision !== this.#revision) {
      this.#answers.clear();
      this.#revision = revision;
      return undefined;
    }
    const known = query.length <= queryMaxBytes ? this.#answers.get(keyOf(query, overTcp)) : undefined;
    if (!known) return undefined;
    const reply = Buffer.from(known.reply);
    query.copy(reply, 0, 0, numberBytes);
    return { verdict: known.verdict, reply };
  }

  /** `revision`: of the zone that was asked. */
  put(query: Buffer, overTcp: boolean, revision: number, answer: SentAnswer): void {
    if (revision !== this.#revision || query.length > queryMaxBytes) return;
    this.#answers.set(keyOf(query, overTcp), answer);
    if (this.#answers.size <= entriesMax) return;
    const [oldest] = this.#answers.keys();
    if (oldest !== undefined) this.#answers.delete(oldest);
  }
}

function keyOf(query: Buffer, overTcp: boolean): string {
  return `${overTcp ? "t" : "u"}${query.toString("latin1", numberBytes)}`;
}
