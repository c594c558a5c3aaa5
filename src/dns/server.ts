/** Cluster DNS: answers for the cluster's own names, passes the rest upstream, over UDP and TCP. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, isIPv6, type Server, type Socket } from "node:net";
import dnsPacket, {
  type Answer,
  type DecodedPacket,
  type OptAnswer,
  type Packet,
  type Question,
} from "dns-packet";
import { configMaps, type corev1 } from "#api";
import { codeOf, forComponent, type Logger, messageOf, UserError, type World } from "#base";
import type { Informers } from "#client";
import { answer } from "./answer.ts";
import { cacheKeyOf, ReplyCache } from "./cache.ts";
import type { ZoneSource } from "./records.ts";
import { SentAnswers } from "./sent-answers.ts";
import { type ForwardSettings, noSettings, parseSettings, resolversFor } from "./settings.ts";
import { createUpstream, framed, type Upstream } from "./upstream.ts";
import { openZone } from "./zone.ts";

export interface DnsOptions {
  world: World;
  informers: Informers;
  clusterDomain: string;
  /** Addresses of this machine; of a port 0 the first one chooses. */
  listen: { hosts: readonly string[]; port: number };
  /** Those of somebody who may follow the ConfigMap `kube-dns`; default: `informers`. */
  settingsInformers?: Informers;
  /** Where questions about the outside go; empty: they fail at once. */
  nameservers: readonly string[];
  /** Called when all names are known and nobody listens yet: whoever answers in this place lets go. */
  takeOver?: () => Promise<void>;
}

export interface DnsServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** RFC 1035 without EDNS. */
const plainUdpBytes = 512;
/** What DNS flag day 2020 agreed on: no fragments. */
const ednsUdpBytes = 1232;
const tcpClientsMax = 256;
/** A client that says nothing for this long is let go. */
const tcpIdleMs = 10_000;
/** A client that asks and does not read the answers is let go. */
const tcpUnreadMaxBytes = 256 * 1024;
/** Questions being asked upstream at one time; more are refused. */
const forwardsMax = 1024;

/** Aliases of aliases that are followed: a ring of them ends here. */
const aliasesMax = 8;

const serverFailure = 2;
const nameError = 3;
const notImplemented = 4;
const refused = 5;

export async function startDns(options: DnsOptions): Promise<DnsServer> {
  const { log, clock } = forComponent(options.world, "dns");
  const counter = options.world.metrics.counter("knarr_dns_requests_total", "Questions by verdict.", [
    "verdict",
  ]);
  const zone = await openZone(options.informers);
  const cache = new ReplyCache();
  const settings = followSettings(options, log, () => cache.clear());
  const upstream = createUpstream(
    (name) => resolversFor(settings.current(), name, options.nameservers),
    clock,
  );
  const respond = responder(
    zone,
    upstream,
    options.clusterDomain,
    () => clock.now(),
    (v) => counter.inc({ verdict: v }),
    cache,
  );
  const open: Listening[] = [];
  const close = () => Promise.all(open.map((each) => each.close()));
  const { hosts } = options.listen;
  let { port } = options.listen;
  try {
    await options.takeOver?.();
    for (const host of hosts) {
      const listening = await listen(host, port, respond);
      open.push(listening);
      port = listening.port;
    }
  } catch (error) {
    await close();
    settings.stop();
    throw error;
  }
  log.info({ hosts, port }, "answering");
  return {
    port,
    async stop() {
      settings.stop();
      await close();
    },
  };
}

interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

async function listen(host: string, wanted: number, respond: Respond): Promise<Listening> {
  const udp = await listenUdp(host, wanted, respond);
  const { port } = udp.address();
  const tcp = await listenTcp(host, port, respond).catch((error) => {
    udp.close();
    throw error;
  });
  return {
    port,
    async close() {
      udp.close();
      for (const socket of tcp.sockets) socket.destroy();
      await new Promise<void>((resolve) => tcp.server.close(() => resolve()));
    },
  };
}

/** Those of the ConfigMap `kube-system/kube-dns`; what cannot be read changes nothing. */
function followSettings(
  { settingsInformers, informers }: DnsOptions,
  log: Logger,
  onChange: () => void,
): { current(): ForwardSettings; stop(): void } {
  let current = noSettings;
  const selection = { namespace: "kube-system", fieldSelector: "metadata.name=kube-dns" };
  const take = ({ data = {} }: Readonly<corev1.ConfigMap>) => {
    try {
      current = parseSettings(data);
      onChange();
    } catch (error) {
      log.warn({ error: messageOf(error) }, "the ConfigMap kube-system/kube-dns cannot be used");
    }
  };
  const stop = (settingsInformers ?? informers).of(configMaps, selection).on({
    add: take,
    update: take,
    delete: () => {
      current = noSettings;
      onChange();
    },
  });
  return { current: () => current, stop };
}

type Respond = (query: Buffer, overTcp: boolean) => Promise<Buffer | undefined>;

/** Turns the bytes of a query into the bytes of its answer; undefined for what is no query at all. */
export function responder(
  zone: ZoneSource,
  upstream: Upstream,
  domain: string,
  nowMs: () => number,
  count: (verdict: string) => void,
  cache = new ReplyCache(),
): Respond {
  let forwards = 0;
  const forward = async (query: Buffer, overTcp: boolean, name: string) => {
    if (forwards >= forwardsMax) return undefined;
    forwards++;
    try {
      return await upstream.ask(query, overTcp, name);
    } finally {
      forwards--;
    }
  };
  /** Programs ask once and want addresses: what an alias points to is looked up for them. */
  const resolve = async (question: Question): Promise<Answer[]> => {
    const found: Answer[] = [];
    let name = question.name;
    for (let hops = 0; name && hops < aliasesMax; hops++) {
      const step = { ...question, name };
      const verdict = answer(zone, domain, step, nowMs());
      if (verdict.kind === "forward") return [...found, ...(await ask(step))];
      if (verdict.kind === "nxdomain") return found;
      found.push(...verdict.answers);
      name = aliasOf(verdict.answers, question);
    }
    return found;
  };
  const ask = async (question: Question): Promise<Answer[]> => {
    const flags = dnsPacket.RECURSION_DESIRED;
    const reply = await forward(
      dnsPacket.encode({ type: "query", id: 0, flags, questions: [question] }),
      false,
      question.name,
    );
    return (reply && decode(reply)?.answers) ?? [];
  };
  return remembering(zone, count, async (query, overTcp, keep) => {
    const packet = decodeQuery(query);
    if (!packet) return undefined;
    const question = packet.questions?.[0];
    if (!question || packet.questions?.length !== 1 || opcodeOf(query) !== 0) {
      return encode(packet, { rcode: notImplemented }, overTcp);
    }
    const verdict = answer(zone, domain, question, nowMs());
    count(verdict.kind);
    if (verdict.kind === "answer") {
      const follow = { ...question, name: aliasOf(verdict.answers, question) };
      const more = follow.name ? await resolve(follow) : [];
      const answers = [...verdict.answers, ...more];
      const reply = encode(packet, { ...verdict, answers, authoritative: true }, overTcp);
      return follow.name ? reply : keep("answer", reply);
    }
    if (verdict.kind === "nxdomain")
      return keep("nxdomain", encode(packet, { ...verdict, rcode: nameError, authoritative: true }, overTcp));
    const key = cacheKeyOf(packet, overTcp);
    const known = key && cache.get(key, query, nowMs());
    if (known) return known;
    if (forwards >= forwardsMax) return encode(packet, { rcode: refused }, overTcp);
    const reply = await forward(query, overTcp, question.name);
    if (key && reply) cache.put(key, reply, nowMs());
    return reply ?? encode(packet, { rcode: serverFailure }, overTcp);
  });
}

/** Keeps what the zone alone has said, and answers it. */
type Keep = (verdict: string, reply: Buffer) => Buffer;

/** Asks for an answer only where the same question has none since the zone has changed. */
function remembering(
  zone: Pick<ZoneSource, "revision">,
  count: (verdict: string) => void,
  respond: (query: Buffer, overTcp: boolean, keep: Keep) => Promise<Buffer | undefined>,
): Respond {
  const sent = new SentAnswers();
  return (query, overTcp) => {
    const revision = zone.revision();
    const again = sent.get(query, overTcp, revision);
    if (!again) {
      return respond(query, overTcp, (verdict, reply) => {
        sent.put(query, overTcp, revision, { verdict, reply });
        return reply;
      });
    }
    count(again.verdict);
    return Promise.resolve(again.reply);
  };
}

/** Where an answer that is only an alias (an ExternalName service) points; `""` when it says it all. */
function aliasOf(answers: readonly Answer[], question: Question): string {
  const last = answers.at(-1);
  if (last?.type !== "CNAME" || question.type === "CNAME") return "";
  return last.data.toLowerCase().replace(/\.$/, "");
}

/** 0 is a plain query (RFC 1035, 4.1.1). */
function opcodeOf(query: Buffer): number {
  return (query.readUInt16BE(2) >> 11) & 0xf;
}

function decodeQuery(query: Buffer): DecodedPacket | undefined {
  const packet = decode(query);
  return packet?.type === "query" ? packet : undefined;
}

function decode(bytes: Buffer): DecodedPacket | undefined {
  try {
    return dnsPacket.decode(bytes);
  } catch {
    return undefined;
  }
}

const ownOptions: OptAnswer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: ednsUdpBytes,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

interface Reply extends Pick<Packet, "answers" | "additionals" | "authorities"> {
  rcode?: number;
  authoritative?: boolean;
}

/** dns-packet keeps the answer code in the low bits of `flags`. */
function encode(query: DecodedPacket, reply: Reply, overTcp: boolean): Buffer {
  const flags =
    dnsPacket.RECURSION_AVAILABLE |
    (query.flag_rd ? dnsPacket.RECURSION_DESIRED : 0) |
    (reply.authoritative ? dnsPacket.AUTHORITATIVE_ANSWER : 0) |
    (reply.rcode ?? 0);
  const packet: Packet = { type: "response", id: query.id, flags, questions: query.questions };
  const asked = query.additionals?.find((a) => a.type === "OPT");
  const room =
    asked && "udpPayloadSize" in asked ? Math.max(plainUdpBytes, asked.udpPayloadSize) : plainUdpBytes;
  // Whoever speaks EDNS is answered in EDNS: https://www.rfc-editor.org/rfc/rfc6891#section-7
  const edns: Answer[] = asked ? [ownOptions] : [];
  const full = dnsPacket.encode({
    ...packet,
    answers: reply.answers ?? [],
    additionals: [...(reply.additionals ?? []), ...edns],
    authorities: reply.authorities ?? [],
  });
  if (overTcp || full.length <= Math.min(room, ednsUdpBytes)) return full;
  return dnsPacket.encode({ ...packet, additionals: edns, flags: flags | dnsPacket.TRUNCATED_RESPONSE });
}

async function listenUdp(host: string, port: number, respond: Respond): Promise<UdpSocket> {
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  await new Promise<void>((resolve, reject) => {
    socket.once("error", (error) => reject(listenError(error, host, port)));
    socket.bind(port, host, () => resolve());
  });
  socket.removeAllListeners("error");
  // A client that has gone answers with ICMP errors: they concern nobody else.
  socket.on("error", () => {});
  socket.on("message", (query, from) => {
    // As over any network, an answer may be lost: one that comes after the server has stopped is.
    respond(query, false)
      .then((reply) => reply && socket.send(reply, from.port, from.address))
      .catch(() => {});
  });
  return socket;
}

function listenError(error: Error, host: string, port: number): Error {
  if (codeOf(error) !== "EADDRINUSE") return error;
  return new UserError(
    `DNS cannot listen on ${host}:${port}: the port is in use`,
    "stop the program that uses it, or choose another DNS port",
  );
}

async function listenTcp(
  host: string,
  port: number,
  respond: Respond,
): Promise<{ server: Server; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setTimeout(tcpIdleMs, () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    serveTcp(socket, respond);
  });
  server.maxConnections = tcpClientsMax;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(listenError(error, host, port)));
    server.listen(port, host, () => resolve());
  });
  return { server, sockets };
}

/** Several questions may come over one connection, each with its length before it. */
function serveTcp(socket: Socket, respond: Respond): void {
  let pending = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const query = pending.subarray(2, 2 + pending.readUInt16BE(0));
      pending = pending.subarray(2 + query.length);
      respond(query, true)
        .then((reply) => {
          if (reply && socket.writableLength < tcpUnreadMaxBytes) socket.write(framed(reply));
          else socket.destroy();
        })
        .catch(() => socket.destroy());
    }
  });
}
