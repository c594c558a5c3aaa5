/** Newline-delimited JSON, as watches send it: one document a line, cut anywhere into chunks. */

/** The API server stores no object of more than 6 MiB; a watch frame adds a small head. */
const frameMaxBytes = 16 * 1024 * 1024;

const newline = 0x0a;

export function encodeFrame(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

/** What frames say whose reader is in the same process, noted at the frame: weak maps are dear. */
const said = Symbol("said");
type SayingFrame = Uint8Array & { [said]?: unknown };

/** The frame stands for this: its reader gets the very object, which belongs to everybody and is changed by nobody. */
export function letStandFor(frame: Uint8Array, event: unknown): void {
  (frame as SayingFrame)[said] = event;
}

/** Cuts chunks into lines. `push` answers the lines that are complete, `rest` what is left when the stream ends. */
export class LineSplitter {
  #parts: Uint8Array[] = [];
  #size = 0;

  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      lines.push(this.#take(chunk.subarray(start, end)));
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
    return lines;
  }

  rest(): string {
    return this.#take(new Uint8Array(0));
  }

  #keep(part: Uint8Array): void {
    this.#size += part.length;
    if (this.#size > frameMaxBytes) throw new Error(`a frame of more than ${frameMaxBytes} bytes`);
    this.#parts.push(part);
  }

  #take(tail: Uint8Array): string {
    if (this.#parts.length === 0)
      return Buffer.from(tail.buffer, tail.byteOffset, tail.length).toString("utf8");
    const whole = Buffer.concat([...this.#parts, tail]);
    this.#parts = [];
    this.#size = 0;
    return whole.toString("utf8");
  }
}

/** The documents of a stream, in order; blank lines are skipped, a torn last document is an error. */
export async function* decodeFrames(body: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const splitter = new LineSplitter();
  for await (const chunk of body) {
    const event = (chunk as SayingFrame)[said];
    if (event !== undefined) {
      yield event;
      continue;
    }
    for (const line of splitter.push(chunk)) {
      if (line.trim() !== "") yield JSON.parse(line);
    }
  }
  const rest = splitter.rest();
  if (rest.trim() !== "") yield JSON.parse(rest);
}
