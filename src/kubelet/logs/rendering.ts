/**
 * From the lines of a log file to what a client asked for, many lines at a time: a log that is read whole is as long as
 * its disk allows. What a line is, `parseLogLine` says; here it is said again in bytes.
 * https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
 */

export interface Rendering {
  timestamps: boolean;
  limitBytes: number | undefined;
  sinceMs: number | undefined;
  stream: "stdout" | "stderr" | undefined;
}

const newline = 0x0a;
const space = 0x20;
const colon = 0x3a;
const partialTag = 0x50;
/** ` stdout ` and ` stderr ` are equally long. */
const streamLength = 8;
const [outWord, errWord] = [Buffer.from(" stdout "), Buffer.from(" stderr ")];

/** `stdout`, `stderr`, or undefined for what the runtime cannot have written; `at` is the blank before it. */
function streamAt(lines: Buffer, at: number): Rendering["stream"] {
  const isOut = lines[at + 4] === 0x6f;
  const word = isOut ? outWord : errWord;
  for (let i = 1; i < streamLength; i++) if (lines[at + i] !== word[i]) return undefined;
  return isOut ? "stdout" : "stderr";
}

/** Remembers from one block to the next what has been said. */
export class LogRenderer {
  readonly #options: Rendering;
  /** The line before this one was not whole. */
  #continued = false;
  #left: number;

  constructor(options: Rendering) {
    this.#options = options;
    this.#left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  get isFull(): boolean {
    return this.#left <= 0;
  }

  /** `lines`: whole lines, each with its end. Each grows shorter: `out` needs no more room than they. */
  render(lines: Buffer, out: Buffer): Buffer {
    let length = 0;
    for (let start = 0; start < lines.length; ) {
      const end = lines.indexOf(newline, start);
      if (end < 0) break;
      length = this.#renderLine(lines, start, end, out, length);
      start = end + 1;
    }
    const rendered = out.subarray(0, Math.min(length, this.#left));
    this.#left -= rendered.length;
    return rendered;
  }

  /** Answers how long the output is with this line. */
  #renderLine(lines: Buffer, start: number, end: number, out: Buffer, length: number): number {
    const first = lines.indexOf(space, start);
    if (first < 0 || first + streamLength > end) return length;
    const stream = streamAt(lines, first);
    if (!stream) return length;
    let textStart = first + streamLength;
    const tag = lines[textStart];
    const afterTag = lines[textStart + 1];
    const isEnd = textStart + 1 >= end;
    const partial = tag === partialTag && (isEnd || afterTag === space || afterTag === colon);
    while (textStart < end && lines[textStart] !== space) textStart++;
    textStart = Math.min(end, textStart + 1);
    const wasContinued = this.#continued;
    this.#continued = partial;
    const { sinceMs, timestamps } = this.#options;
    if (this.#options.stream && stream !== this.#options.stream) return length;
    if (sinceMs !== undefined && Date.parse(lines.toString("latin1", start, first)) < sinceMs) return length;
    let at = length;
    if (timestamps && !wasContinued) at += lines.copy(out, at, start, first + 1);
    at += lines.copy(out, at, textStart, end);
    if (!partial) out[at++] = newline;
    return at;
  }
}
