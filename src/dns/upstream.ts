/** Questions that are not about the cluster, passed on to the machine's own resolvers over UDP, TCP when truncated. */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import type { Clock } from "#base";

export interface Upstream {
  /** The answer's bytes, or undefined when no resolver answered in time. */
  ask(query: Buffer, overTcp: boolean, name: string): Promise<Buffer | undefined>;
}

/** Per resolver; a pod's own resolver waits five seconds in all. */
const patienceMs = 2_000;

const messageMaxBytes = 65_535;

/**
 * The `nameserver` lines of a resolv.conf. Addresses of this machine's own stub (127.0.0.53) are fine for the host's
 * processes, which Knarr's DNS is; `own` (where this server listens) would be a loop.
 */
export function nameserversOf(resolvConf: string, own: readonly string[]): string[] {
  const found = resolvConf.split("\n").flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
  return found.filter((address) => !own.includes(address)).slice(0, 3);
}

export function createUpstream(nameserversFor: (name: string) => readonly string[], clock: Clock): Upstream {
  return {
    async ask(query, overTcp, name) {
      for (const address of nameserversFor(name)) {
        const reply = overTcp ? await askTcp(address, query, clock) : await askUdp(address, query, clock);
        if (reply) return reply;
      }
      return undefined;
    },
  };
}

/** `ADDRESS`, or `ADDRESS#PORT` as dnsmasq writes it. */
function resolverOf(text: string): { host: string; port: number } {
  const [host = "", port] = text.split("#");
  return { host, port: Number(port ?? 53) };
}

function askUdp(address: string, query: Buffer, clock: Clock): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const { host, port } = resolverOf(address);
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const finish = (reply?: Buffer) => {
      timer.cancel();
      socket.removeAllListeners("message");
      socket.close();
      resolve(reply);
    };
    const timer = clock.after(patienceMs, () => finish());
    socket.once("error", () => finish());
    // A reply with another id answers somebody else's question.
    socket.on("message", (reply) => {
      if (reply.length >= 12 && reply.readUInt16BE(0) === query.readUInt16BE(0)) finish(reply);
    });
    socket.connect(port, host, () => socket.send(query));
  });
}

function askTcp(address: string, query: Buffer, clock: Clock): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const { host, port } = resolverOf(address);
    const socket = connect(port, host);
    const finish = (reply?: Buffer) => {
      timer.cancel();
      socket.destroy();
      resolve(reply);
    };
    const timer = clock.after(patienceMs, () => finish());
    socket.on("error", () => finish());
    socket.on("end", () => finish());
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      const all = Buffer.concat(chunks);
      if (all.length > messageMaxBytes + 2) finish();
      else if (all.length >= 2 && all.length >= 2 + all.readUInt16BE(0))
        finish(all.subarray(2, 2 + all.readUInt16BE(0)));
    });
    socket.write(framed(query));
  });
}

/** DNS over TCP puts the length before each message (RFC 1035, 4.2.2). */
export function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(message.length);
  return Buffer.concat([head, message]);
}
