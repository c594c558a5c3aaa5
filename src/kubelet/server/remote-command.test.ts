/** A real WebSocket client on one side, a runtime of the test's own on the other. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { VirtualClock } from "#base";
import type { StreamOptions } from "#contracts";
import { dataFrame, resetFrameOf, SpdyPeer } from "../testing/spdy-peer.ts";
import { chooseProtocol } from "./channels.ts";
import { serveRemoteCommand } from "./remote-command.ts";
import { SpdyConnection } from "./spdy/connection.ts";
import { acceptWebSocket, offeredProtocols } from "./web-socket.ts";

const allStreams: StreamOptions = { stdin: true, stdout: true, stderr: true, tty: false };
const success = JSON.stringify({ kind: "Status", status: "Success" });
const exitSeven = JSON.stringify({ kind: "Status", status: "Failure", message: "exit code 7" });

let server: Server;
let clock: VirtualClock;
let streams: StreamOptions;
let runtime: { peer: SpdyPeer; remote: Duplex };
let agrees: boolean;
let served: Promise<void>;

beforeEach(async () => {
  clock = new VirtualClock();
  streams = allStreams;
  agrees = true;
  server = createServer();
  server.on("upgrade", (request, socket, head) => {
    const protocol = chooseProtocol(offeredProtocols(request))!;
    const client = acceptWebSocket(request, socket, head, protocol.name)!;
    const [near, remote] = duplexPair();
    runtime = { peer: new SpdyPeer(remote, { agrees }), remote };
    served = serveRemoteCommand({
      client,
      protocol,
      runtime: new SpdyConnection(near),
      streams,
      hangsUp: streams.tty,
      clock,
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

interface Client {
  socket: WebSocket;
  /** What came on each channel; an empty message is noted as «·». */
  received: Map<number, string>;
  closed: Promise<number>;
  send(channel: number, data: string | Buffer): void;
}

async function connect(protocol = "v5.channel.k8s.io"): Promise<Client> {
  const { port } = server.address() as AddressInfo;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, protocol ? [protocol] : []);
  const received = new Map<number, string>();
  socket.on("message", (data: Buffer) => {
    const text = data.length === 1 ? "·" : data.subarray(1).toString();
    received.set(data[0]!, (received.get(data[0]!) ?? "") + text);
  });
  const closed = new Promise<number>((resolve) => socket.on("close", resolve));
  await new Promise((resolve, reject) => socket.once("message", resolve).once("error", reject));
  const send = (channel: number, data: string | Buffer) =>
    socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(data)]));
  return { socket, received, closed, send };
}

function say(type: string, text: string, fin = false): void {
  runtime.peer.send(dataFrame(runtime.peer.stream(type)!.id, text, fin));
}

describe("remote commands", () => {
  test("input, outputs and the outcome each on its channel; the client is told when the streams stand", async () => {
    const client = await connect();
    expect(client.received.get(1)).toBe("·");
    expect(runtime.peer.streams.map((s) => s.headers.streamtype)).toEqual([
      "error",
      "stdin",
      "stdout",
      "stderr",
    ]);
    client.send(0, "to the command");
    await expect.poll(() => runtime.peer.stream("stdin")?.received.toString()).toBe("to the command");
    say("stdout", "out");
    say("stderr", "err");
    say("error", exitSeven, true);
    expect(await client.closed).toBe(1000);
    expect([1, 2, 3].map((c) => client.received.get(c))).toEqual(["·out", "err", exitSeven]);
    await served;
    expect(runtime.remote.readableEnded || runtime.remote.destroyed).toBe(true);
  });

  test("the outcome is one message, though it came in parts, and after all output", async () => {
    const client = await connect();
    const messages: Buffer[] = [];
    client.socket.on("message", (data: Buffer) => messages.push(data));
    say("error", exitSeven.slice(0, 10));
    say("stdout", "last words");
    say("error", exitSeven.slice(10));
    runtime.peer.send(resetFrameOf(runtime.peer.stream("error")!.id, 5));
    await client.closed;
    expect(messages.map((m) => [m[0], m.subarray(1).toString()])).toEqual([
      [1, "last words"],
      [3, exitSeven],
    ]);
  });

  test("v5 closes input alone; v4 does not know how", async () => {
    const five = await connect();
    five.send(0, "all");
    five.send(255, Buffer.from([0]));
    await expect.poll(() => runtime.peer.stream("stdin")?.ended).toBe(true);
    expect(runtime.peer.stream("stdin")?.received.toString()).toBe("all");
    say("error", success, true);
    await five.closed;
    const four = await connect("v4.channel.k8s.io");
    four.send(255, Buffer.from([0]));
    four.send(0, "more");
    await expect.poll(() => runtime.peer.stream("stdin")?.received.toString()).toBe("more");
    expect(runtime.peer.stream("stdin")?.ended).toBe(false);
    four.socket.terminate();
    await served;
  });

  test("a terminal has sizes and one output, and reads its end when its client goes", async () => {
    streams = { stdin: true, stdout: true, stderr: false, tty: true };
    const client = await connect();
    expect(runtime.peer.streams.map((s) => s.headers.streamtype)).toEqual([
      "error",
      "stdin",
      "stdout",
      "resize",
    ]);
    client.send(4, '{"Width":100,"Height":40}');
    const resized = () => runtime.peer.stream("resize")?.received.toString();
    await expect.poll(resized).toBe('{"Width":100,"Height":40}');
    client.socket.terminate();
    await expect.poll(() => runtime.peer.stream("stdin")?.received.toString()).toBe("\x04");
    expect(runtime.peer.stream("stdin")?.ended).toBe(true);
    expect(runtime.remote.readableEnded).toBe(false);
    clock.advance(2_000);
    await served;
  });

  test("before v4 errors are words, and success is silence", async () => {
    for (const [status, told] of [
      [exitSeven, "exit code 7"],
      [success, "·"],
    ] as const) {
      const client = await connect("channel.k8s.io");
      say("error", status, true);
      await client.closed;
      expect(client.received.get(3)).toBe(told);
    }
  });

  test("channels that nobody has, and empty messages, are passed over", async () => {
    streams = { ...allStreams, stdin: false };
    const client = await connect();
    client.socket.send(Buffer.alloc(0));
    for (const channel of [0, 1, 3, 4, 9, 254]) client.send(channel, "x");
    client.send(255, "");
    client.send(255, Buffer.from([7]));
    say("stdout", "still here");
    await expect.poll(() => client.received.get(1)).toBe("·still here");
    client.socket.terminate();
    await served;
  });

  test("a client that goes ends the runtime's connection; a runtime that goes is told", async () => {
    const leaving = await connect();
    leaving.socket.terminate();
    await served;
    await expect.poll(() => runtime.remote.readableEnded || runtime.remote.destroyed).toBe(true);
    const left = await connect();
    runtime.remote.end();
    await left.closed;
    expect(JSON.parse(left.received.get(3)!)).toMatchObject({ status: "Failure", reason: "InternalError" });
  });

  test("a runtime that refuses the streams is told as an error", async () => {
    agrees = false;
    const before = runtime;
    const connecting = connect();
    await expect.poll(() => (runtime === before ? 0 : runtime.peer.streams.length)).toBe(4);
    runtime.peer.send(resetFrameOf(1, 3));
    const client = await connecting;
    await client.closed;
    expect(JSON.parse(client.received.get(3)!)).toMatchObject({ code: 500, reason: "InternalError" });
  });

  test("held back, a client gets pongs unasked, and goes on when the runtime reads again", async () => {
    const client = await connect();
    const pong = vi.fn();
    client.socket.on("pong", pong);
    runtime.remote.pause();
    for (let i = 0; i < 100; i++) client.send(0, Buffer.alloc(32_768, "x"));
    const asked = () => {
      clock.advance(5_000);
      return pong.mock.calls.length;
    };
    await expect.poll(asked).toBeGreaterThan(0);
    runtime.remote.resume();
    await expect.poll(() => runtime.peer.stream("stdin")?.received.length).toBe(100 * 32_768);
    client.socket.terminate();
    await served;
  });
});
