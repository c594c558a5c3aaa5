/**
 * Streams over one WebSocket: each message begins with the number of its channel.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
 */

export const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

export interface ChannelProtocol {
  name: string;
  /** Messages are text: a digit for the channel, then base64. */
  base64: boolean;
  /** How a command ended is told as a Status; earlier versions told errors in words. */
  status: boolean;
  /** A channel can be closed by itself, so that a command reads the end of its input. */
  halfClose: boolean;
}

function protocol(name: string, properties: Partial<ChannelProtocol>): ChannelProtocol {
  return { name, base64: false, status: false, halfClose: false, ...properties };
}

/** What a client speaks that names no protocol. */
const unnamedProtocol = protocol("", {});

/** For exec and attach; the best first. */
const protocols = [
  protocol("v5.channel.k8s.io", { status: true, halfClose: true }),
  protocol("v4.channel.k8s.io", { status: true }),
  protocol("v4.base64.channel.k8s.io", { status: true, base64: true }),
  protocol("v3.channel.k8s.io", {}),
  protocol("v2.channel.k8s.io", {}),
  protocol("channel.k8s.io", {}),
  protocol("v1.channel.k8s.io", {}),
  protocol("base64.channel.k8s.io", { base64: true }),
];

/** The best of those offered; undefined if none is known. */
export function chooseProtocol(offered: readonly string[]): ChannelProtocol | undefined {
  return offered.length === 0 ? unnamedProtocol : protocols.find((p) => offered.includes(p.name));
}

const digitZero = 0x30;

export function encodeMessage({ base64 }: ChannelProtocol, channel: number, bytes: Buffer): Buffer | string {
  return base64
    ? `${channel}${bytes.toString("base64")}`
    : Buffer.concat([Buffer.from([channel]), bytes], bytes.length + 1);
}

/** Undefined for a message without a channel. */
export function decodeMessage(
  { base64 }: ChannelProtocol,
  message: Buffer,
): { channel: number; bytes: Buffer } | undefined {
  if (message.length === 0) return undefined;
  const rest = message.subarray(1);
  if (!base64) return { channel: message[0]!, bytes: rest };
  return { channel: message[0]! - digitZero, bytes: Buffer.from(rest.toString("latin1"), "base64") };
}
