/**
 * Runs exec and attach for a WebSocket client: its channels on one side, the runtime's SPDY streams on the other.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
 */
import type { WebSocket } from "ws";
import type { Clock, Timer } from "#base";
import { messageOf } from "#base";
import type { StreamOptions } from "#contracts";
import { type ChannelProtocol, channels, decodeMessage, encodeMessage } from "./channels.ts";
import type { SpdyConnection, SpdyStream, StreamSink } from "./spdy/connection.ts";

export interface RemoteCommand {
  client: WebSocket;
  protocol: ChannelProtocol;
  runtime: SpdyConnection;
  streams: StreamOptions;
  /** Whether the command's terminal ends with its client, as it would by a hang-up. */
  hangsUp: boolean;
  clock: Clock;
}

/** Output waiting for a slow client; the runtime is not read meanwhile. */
const outputMaxBytes = 256 * 1024;
const statusMaxBytes = 64 * 1024;
/**
 * While input is held back, the client's pings are not read. kubectl gives up after a dozen seconds without a pong, so
 * it is sent some unasked (RFC 6455, 5.5.3); a client that has vanished is noticed by the same means.
 */
const pongPeriodMs = 5_000;
const normalClosure = 1000;
const endOfFile = Buffer.from([0x04]);
const hangUpMs = 2_000;

/** Settles when the command has ended or the client has gone; never rejects. */
export async function serveRemoteCommand(command: RemoteCommand): Promise<void> {
  const { client, runtime } = command;
  const gone = new Promise<void>((resolve) => client.once("close", resolve));
  client.on("error", () => client.terminate());
  const collected: Buffer[] = [];
  let size = 0;
  const ended = Promise.withResolvers<void>();
  const status: StreamSink = {
    data: (bytes) => {
      size += bytes.length;
      if (size <= statusMaxBytes) collected.push(bytes);
      return undefined;
    },
    end: () => ended.resolve(),
  };
  try {
    const input = await Promise.race([openStreams(command, status), gone]);
    if (!input) return runtime.close();
    // The client learns that the streams stand.
    await send(command, command.streams.stdout ? channels.stdout : channels.error, Buffer.alloc(0));
    takeInput(command, input);
    await Promise.race([ended.promise, gone]);
    if (client.readyState !== client.OPEN) await hangUp(command, input, ended.promise);
    await send(command, channels.error, statusMessage(command.protocol, Buffer.concat(collected)));
  } catch (error) {
    const words = `error streaming to the runtime: ${messageOf(error)}`;
    await send(command, channels.error, statusMessage(command.protocol, internalError(words)));
  }
  client.close(normalClosure);
  client.resume();
  runtime.close();
}

/**
 * Runtimes do not end the commands of a client that has gone. What reads a pipe finds the end of its input; a terminal
 * has none, so whoever sits at its prompt, like a forgotten shell, is told by the end-of-file character.
 */
async function hangUp(
  { hangsUp, clock }: RemoteCommand,
  { stdin }: Input,
  ended: Promise<void>,
): Promise<void> {
  if (!hangsUp || !stdin) return;
  stdin.write(endOfFile);
  stdin.end();
  const patience = new AbortController();
  await Promise.race([ended, clock.sleep(hangUpMs, patience.signal)]);
  patience.abort();
}

/** Messages the client may send to the runtime. */
interface Input {
  stdin: SpdyStream | undefined;
  resize: SpdyStream | undefined;
}

/**
 * In the order upstream opens them, and all at once: none has to wait for the answer to another, and the runtime begins
 * when the last one stands.
 */
async function openStreams(command: RemoteCommand, status: StreamSink): Promise<Input> {
  const { runtime, streams } = command;
  const open = (streamtype: string, sink: StreamSink) => runtime.open({ streamtype }, sink);
  const [, stdin, , , resize] = await Promise.all([
    open("error", status),
    streams.stdin ? open("stdin", silent) : undefined,
    streams.stdout ? open("stdout", output(command, channels.stdout)) : undefined,
    streams.stderr ? open("stderr", output(command, channels.stderr)) : undefined,
    streams.tty ? open("resize", silent) : undefined,
  ]);
  return { stdin, resize };
}

const silent: StreamSink = { data: () => undefined, end: () => {} };

function output(command: RemoteCommand, channel: number): StreamSink {
  return { data: (bytes) => send(command, channel, bytes), end: () => {} };
}

/** A promise when the client is slow: it settles when the message is on its way, or the client has gone. */
function send(
  { client, protocol }: RemoteCommand,
  channel: number,
  bytes: Buffer,
): Promise<void> | undefined {
  const message = encodeMessage(protocol, channel, bytes);
  if (client.bufferedAmount < outputMaxBytes) {
    client.send(message, ignoreFailure);
    return undefined;
  }
  return new Promise((resolve) => client.send(message, () => resolve()));
}

/** The close of the connection, which follows, says it. */
const ignoreFailure = () => {};

function takeInput({ client, protocol, runtime, clock }: RemoteCommand, { stdin, resize }: Input): void {
  let pongs: Timer | undefined;
  const hold = () => {
    if (pongs) return;
    client.pause();
    pongs = clock.every(pongPeriodMs, () => client.pong(undefined, undefined, ignoreFailure));
    void runtime.drained().then(() => {
      pongs?.cancel();
      pongs = undefined;
      client.resume();
    });
  };
  client.on("message", (data) => {
    const message = decodeMessage(protocol, data as Buffer);
    if (message?.channel === channels.stdin) {
      if (stdin?.write(message.bytes) === false) hold();
    } else if (message?.channel === channels.resize) resize?.write(message.bytes);
    else if (message?.channel === channels.close && protocol.halfClose) {
      if (message.bytes[0] === channels.stdin) stdin?.end();
    }
  });
  client.resume();
}

function internalError(message: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message,
      reason: "InternalError",
      details: { causes: [{ message }] },
      code: 500,
    }),
  );
}

/** The runtime's Status as this protocol says it. */
function statusMessage({ status }: ChannelProtocol, bytes: Buffer): Buffer {
  const told = bytes.length > 0 ? bytes : internalError("the runtime did not say how the command ended");
  if (status) return told;
  try {
    const parsed: unknown = JSON.parse(told.toString("utf8"));
    const { status: outcome, message } = parsed as { status?: unknown; message?: unknown };
    return Buffer.from(outcome === "Success" ? "" : String(message ?? "the command failed"));
  } catch {
    return told;
  }
}
