/**
 * What other resolvers have answered, for as long as they said, and for half a minute at most: names of the world are asked
 * again and again, once for every domain of a pod's search list. https://www.rfc-editor.org/rfc/rfc2308
 */
import type { DecodedPacket } from "dns-packet";
import { endOfQuestion, headBytes, ttlsOf } from "./ttls.ts";

/** As CoreDNS' `cache 30`. */
const secondsMax = 30;
const entriesMax = 10_000;
const nameError = 3;

interface Entry {
  reply: Buffer;
  storedMs: number;
  untilMs: number;
}

export class ReplyCache {
  /** Oldest first: whoever is asked for again moves to the end. */
  readonly #entries = new Map<string, Entry>();

  /** Others are asked from now on. */
  clear(): void {
    this.#entries.clear();
  }

  /** The answer to the same question, as `query` writes it, with the time that has passed taken off. */
  get(key: string, query: Buffer, nowMs: number): Buffer | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    if (entry.untilMs <= nowMs) {
      this.#entries.delete(key);
      return undefined;
    }
    const passed = Math.floor((nowMs - entry.storedMs) / 1000);
    const reply = Buffer.from(entry.reply);
    query.copy(reply, 0, 0, 2);
    const end = endOfQuestion(reply);
    if (end !== undefined && end === endOfQuestion(query)) query.copy(reply, headBytes, headBytes, end);
    for (const { offset, seconds } of ttlsOf(reply) ?? [])
      reply.writeUInt32BE(Math.max(0, seconds - passed), offset);
    return reply;
  }

  /** Keeps an answer, or that there is none; failures and cut answers are nobody's to keep. */
  put(key: string, reply: Buffer, nowMs: number): void {
    const rcode = (reply[3] ?? 0) & 15;
    const isCut = ((reply[2] ?? 0) & 2) !== 0;
    if (reply.length < 12 || isCut || (rcode !== 0 && rcode !== nameError)) return;
    const ttls = ttlsOf(reply);
    if (!ttls || ttls.length === 0) return;
    const seconds = Math.min(secondsMax, ...ttls.map((each) => each.seconds));
    if (seconds <= 0) return;
    this.#entries.delete(key);
    this.#entries.set(key, { reply: Buffer.from(reply), storedMs: nowMs, untilMs: nowMs + seconds * 1000 });
    if (this.#entries.size <= entriesMax) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}

/** Questions that are the same have the same key; undefined for those that are better asked each time. */
export function cacheKeyOf(packet: DecodedPacket, overTcp: boolean): string | undefined {
  const [question] = packet.questions ?? [];
  if (!question || packet.questions?.length !== 1) return undefined;
  const edns = packet.additionals?.find(({ type }) => type === "OPT");
  const size = edns && "udpPayloadSize" in edns ? edns.udpPayloadSize : 0;
  const asksFor = edns && "flag_do" in edns && edns.flag_do;
  const flags = [packet.flag_rd, packet.flag_cd, packet.flag_ad, asksFor, overTcp].map(Number).join("");
  const { name, type, class: kind = "IN" } = question;
  return `${name.toLowerCase()} ${type} ${kind} ${flags} ${size}`;
}
