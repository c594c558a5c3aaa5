import { type Duplex, duplexPair } from "node:stream";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import {
  controlFrame,
  dataFrame,
  replyFrame,
  resetFrameOf,
  SpdyPeer,
  uint32,
} from "../../testing/spdy-peer.ts";
import { SpdyConnection, type StreamSink } from "./connection.ts";

interface Gathered extends StreamSink {
  text: string;
  ends: number;
}

function gather(): Gathered {
  return {
    text: "",
    ends: 0,
    data(bytes) {
      this.text += bytes.toString("latin1");
      return undefined;
    },
    end() {
      this.ends++;
    },
  };
}

function connected(options?: { agrees: boolean }): {
  connection: SpdyConnection;
  peer: SpdyPeer;
  socket: Duplex;
  remote: Duplex;
} {
  const [socket, remote] = duplexPair();
  return { connection: new SpdyConnection(socket), peer: new SpdyPeer(remote, options), socket, remote };
}

describe("a SPDY client", () => {
  test("opens streams with odd numbers and their headers", async () => {
    const { connection, peer } = connected();
    await connection.open({ streamtype: "error" }, gather());
    await connection.open({ streamtype: "stdin" }, gather());
    expect(peer.streams.map(({ id, headers }) => [id, headers])).toEqual([
      [1, { streamtype: "error" }],
      [3, { streamtype: "stdin" }],
    ]);
    connection.close();
  });

  test("waits for the peer's agreement, and says when it is refused", async () => {
    const { connection, peer } = connected({ agrees: false });
    const first = connection.open({ streamtype: "error" }, gather());
    const second = connection.open({ streamtype: "stdin" }, gather());
    const outcome = vi.fn();
    void first.then(outcome);
    await new Promise(setImmediate);
    expect(outcome).not.toHaveBeenCalled();
    peer.send(replyFrame(1), resetFrameOf(3, 3));
    await first;
    await expect(second).rejects.toThrow("refused a stream: status 3");
    connection.close();
    await expect(connection.open({}, gather())).rejects.toThrow("has ended");
  });

  test("sends, half-closes, and sends nothing after that", async () => {
    const { connection, peer } = connected();
    const stream = await connection.open({ streamtype: "stdin" }, gather());
    stream.write(Buffer.from("one "));
    stream.write(Buffer.from("two"));
    stream.end();
    stream.end();
    stream.write(Buffer.from("three"));
    await expect.poll(() => peer.stream("stdin")?.ended).toBe(true);
    expect(peer.stream("stdin")?.received.toString()).toBe("one two");
    connection.close();
  });

  test("hands out data and each stream's end once", async () => {
    const { connection, peer } = connected();
    const [a, b] = [gather(), gather()];
    await connection.open({}, a);
    await connection.open({}, b);
    peer.send(
      dataFrame(1, "for a"),
      dataFrame(3, "for b", true),
      dataFrame(3, "late"),
      dataFrame(99, "nobody"),
    );
    peer.send(dataFrame(1, "!"), resetFrameOf(1, 5), resetFrameOf(1, 5));
    await expect.poll(() => [a.ends, b.ends]).toEqual([1, 1]);
    expect([a.text, b.text]).toEqual(["for a!", "for b"]);
    connection.close();
    await connection.closed;
    expect([a.ends, b.ends]).toEqual([1, 1]);
  });

  test("reads no further while a sink is busy", async () => {
    const { connection, peer, remote } = connected();
    let release = () => {};
    const sink: StreamSink = {
      data: () =>
        new Promise((resolve) => {
          release = resolve;
        }),
      end: () => {},
    };
    await connection.open({}, sink);
    for (let i = 0; i < 50; i++) peer.send(dataFrame(1, Buffer.alloc(16_384)));
    await new Promise(setImmediate);
    const waiting = remote.writableLength;
    expect(waiting).toBeGreaterThan(500_000);
    release();
    await expect.poll(() => remote.writableLength).toBeLessThan(waiting);
    connection.close();
    release();
  });

  test("says when to wait with writing, and when to go on", async () => {
    const [socket, remote] = duplexPair();
    const connection = new SpdyConnection(socket);
    remote.write(replyFrame(1));
    const stream = await connection.open({}, gather());
    expect(stream.write(Buffer.alloc(1_000_000))).toBe(false);
    const drained = connection.drained();
    remote.resume();
    await drained;
    expect(socket.writableLength).toBe(0);
    connection.close();
    await connection.drained();
  });

  test("answers pings, refuses streams of the peer's, passes over the rest", async () => {
    const { connection, peer } = connected();
    peer.send(controlFrame(6, uint32(2)), controlFrame(6, uint32(7)), controlFrame(4, uint32(0)));
    peer.send(
      controlFrame(9, uint32(1, 100)),
      controlFrame(1, Buffer.concat([uint32(2, 0), Buffer.alloc(9)])),
    );
    peer.send(controlFrame(7, uint32(0, 0)));
    await expect.poll(() => peer.controls.length).toBe(2);
    expect(peer.controls).toEqual([
      { type: 6, payload: uint32(2) },
      { type: 3, payload: uint32(2, 3) },
    ]);
    connection.close();
  });

  test("leaves a peer that asks without reading", async () => {
    const [socket, remote] = duplexPair();
    const connection = new SpdyConnection(socket);
    for (let i = 0; i < 5000; i++) remote.write(controlFrame(6, uint32(2)));
    expect((await connection.closed)?.message).toContain("without reading");
    expect(socket.destroyed).toBe(true);
  });

  test("ends every stream when the peer goes or breaks the protocol", async () => {
    for (const harm of [(d: Duplex) => d.end(), (d: Duplex) => d.write(dataFrame(0, "x"))]) {
      const { connection, remote } = connected();
      const sink = gather();
      await connection.open({}, sink);
      const unanswered = connection.open({}, gather());
      unanswered.catch(() => {});
      harm(remote);
      await connection.closed;
      expect(sink.ends).toBe(1);
    }
  });

  test("whatever a peer sends, the connection ends in order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 }), async (chunks) => {
        const [socket, remote] = duplexPair();
        const connection = new SpdyConnection(socket);
        const sink = gather();
        const opened = connection.open({}, sink).catch(() => undefined);
        remote.on("error", () => {}).resume();
        for (const chunk of chunks) remote.write(Buffer.concat([Buffer.from("8003", "hex"), chunk]));
        remote.end();
        await connection.closed;
        await opened;
        expect(sink.ends).toBe(1);
      }),
    );
  });
});
