/**
 * The client's side of a SPDY/3.1 connection to a container runtime. Runtimes neither send nor heed window sizes
 * (https://github.com/moby/spdystream): what holds back a sender is the connection's own flow control. So output is
 * read no faster than it is taken, and input is written no faster than the runtime reads.
 */
import type { Duplex } from "node:stream";
import {
  dataFrames,
  type Frame,
  FrameReader,
  finFrame,
  goAwayFrame,
  pingFrame,
  resetFrame,
  resetStatus,
  SpdyError,
  synStreamFrame,
} from "./frames.ts";
import { HeaderCompressor } from "./headers.ts";

/** Who takes what the peer says on a stream. The connection is read on when `data` is done. */
export interface StreamSink {
  data(bytes: Buffer): Promise<void> | undefined;
  /** The peer has no more to say, or the connection has ended. */
  end(): void;
}

/** This side's end of a stream. */
export interface SpdyStream {
  /** False: wait for `drained` before more. */
  write(bytes: Buffer): boolean;
  /** Half-closes: the peer reads the end of its input. */
  end(): void;
}

interface OpenStream {
  sink: StreamSink;
  /** Until the peer has replied. */
  replied: ((error?: Error) => void) | undefined;
}

/** Answers that the peer may leave unread. */
const answersMax = 100;

export class SpdyConnection {
  /** Settles when the connection has ended, with what ended it if that was an error. */
  readonly closed: Promise<Error | undefined>;
  readonly #socket: Duplex;
  readonly #compressor = new HeaderCompressor();
  readonly #reader = new FrameReader();
  readonly #streams = new Map<number, OpenStream>();
  #nextId = 1;
  #answers = 0;
  #waiting: (() => void)[] = [];
  /** Read, but not taken yet. Kept apart from the socket, which forgets what it has read when writing to it fails. */
  #received: Buffer[] = [];
  #busy = false;
  #failure: Error | undefined;
  readonly #ended = Promise.withResolvers<Error | undefined>();

  constructor(socket: Duplex) {
    this.#socket = socket;
    this.closed = this.#ended.promise;
    socket.on("drain", () => this.#wake());
    socket.on("data", (chunk: Buffer) => {
      this.#received.push(chunk);
      if (!this.#busy) void this.#takeReceived();
    });
    socket.on("error", (error) => {
      this.#failure ??= error;
    });
    socket.once("end", () => socket.destroy());
    socket.once("close", () => {
      if (!this.#busy) this.#finishAll();
    });
  }

  /** Resolves when the peer has agreed: a runtime drops what comes before. */
  open(headers: Readonly<Record<string, string>>, sink: StreamSink): Promise<SpdyStream> {
    const id = this.#nextId;
    this.#nextId += 2;
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new SpdyError("the connection to the runtime has ended"));
        return;
      }
      const replied = (error?: Error) => (error ? reject(error) : resolve(this.#ownEnd(id)));
      this.#streams.set(id, { sink, replied });
      // Streams that are opened together go out together.
      this.#socket.cork();
      this.#socket.write(synStreamFrame(id, this.#compressor.compress(headers)));
      queueMicrotask(() => this.#socket.uncork());
    });
  }

  /** Resolves when more can be written, or the connection has ended. */
  drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain || this.#socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Ends everything at once. */
  close(): void {
    if (this.#socket.writable && !this.#socket.writableNeedDrain) this.#socket.write(goAwayFrame());
    this.#socket.destroy();
  }

  #ownEnd(id: number): SpdyStream {
    let open = true;
    return {
      write: (bytes) => {
        if (!open || !this.#socket.writable) return true;
        let more = true;
        for (const frame of dataFrames(id, bytes)) more = this.#socket.write(frame);
        return more;
      },
      end: () => {
        if (open && this.#socket.writable) this.#socket.write(finFrame(id));
        open = false;
      },
    };
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  /** One frame after the other; while a sink is busy the socket is not read. */
  async #takeReceived(): Promise<void> {
    this.#busy = true;
    try {
      for (let chunk = this.#received.shift(); chunk; chunk = this.#received.shift()) {
        for (const frame of this.#reader.read(chunk)) {
          const busy = this.#handle(frame);
          if (!busy) continue;
          this.#socket.pause();
          await busy;
        }
      }
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new SpdyError(String(error));
      this.#received = [];
      this.#socket.destroy();
    }
    this.#busy = false;
    if (this.#socket.closed) this.#finishAll();
    else this.#socket.resume();
  }

  #finishAll(): void {
    const why = this.#failure ?? new SpdyError("the runtime closed the connection");
    for (const id of [...this.#streams.keys()]) this.#finish(id, () => why);
    this.#wake();
    this.#ended.resolve(this.#failure);
  }

  #handle(frame: Frame): Promise<void> | undefined {
    if (frame.type === "ping") {
      // Odd numbers are the client's own pings, of which there are none.
      if (frame.id % 2 === 0) this.#answer(pingFrame(frame.id));
    } else if (frame.type === "stream") {
      this.#answer(resetFrame(frame.streamId, resetStatus.refusedStream));
    } else if (frame.type === "reset") {
      this.#finish(
        frame.streamId,
        () => new SpdyError(`the runtime refused a stream: status ${frame.status}`),
      );
    } else if (frame.type !== "goAway") return this.#handleStream(frame);
    return undefined;
  }

  #handleStream(frame: Extract<Frame, { fin: boolean }>): Promise<void> | undefined {
    const stream = this.#streams.get(frame.streamId);
    if (!stream) return undefined;
    if (frame.type === "reply") {
      stream.replied?.();
      stream.replied = undefined;
    }
    const busy = frame.type === "data" && frame.data.length > 0 ? stream.sink.data(frame.data) : undefined;
    if (!frame.fin) return busy;
    const tooSoon = () => new SpdyError("the runtime closed a stream too soon");
    const finish = () => this.#finish(frame.streamId, tooSoon);
    if (busy) return busy.then(finish);
    finish();
    return undefined;
  }

  #finish(id: number, whyNoReply: () => Error): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    this.#streams.delete(id);
    stream.replied?.(whyNoReply());
    stream.sink.end();
  }

  #answer(frame: Buffer): void {
    if (++this.#answers > answersMax) throw new SpdyError("the runtime asks without reading the answers");
    this.#socket.write(frame, () => {
      this.#answers--;
    });
  }
}
