/**
 * The answer to a probe, read as it comes: its status, its Location and the first 10 KB of its body. Node's own client
 * reads it well, and costs more than the whole probe does besides (docs/decisions/0015-memory.md). Errors are worded as
 * Go's client words them: people search for them.
 * https://datatracker.ietf.org/doc/html/rfc9112
 */

export interface HttpAnswer {
  status: number;
  body: string;
  location?: string;
}

/** The answer began well, and its body did not come: that says nothing about the pod. */
export class BodyError extends Error {
  override name = "BodyError";
}

/** What is read of a body; upstream's bound. */
const bodyMaxBytes = 10 * 1024;
/** Of everything that is no body. */
const headMaxBytes = 1024 * 1024;
const chunkDigitsMax = 15;

const quoted = (text: string) => JSON.stringify(text);

type State = "status" | "header" | "chunk" | "chunk end" | "trailer" | "body" | "done";

/** Bytes go in, in whatever parts, until the answer is there. Both calls throw what is wrong with it. */
export class ResponseReader {
  #state: State = "status";
  /** The beginning of a line whose end has not come. */
  #partial = "";
  #headBytes = 0;
  #status = 0;
  #isHttp10 = false;
  #location: string | undefined;
  #transferEncoding: string | undefined;
  #contentLength: string | undefined;
  /** How much of the body, or of its chunk, is still to come. */
  #left = Number.POSITIVE_INFINITY;
  #isChunked = false;
  #body: Buffer[] = [];
  #bodyBytes = 0;

  /** The bytes are not kept: the caller may use their memory again. */
  push(bytes: Buffer): HttpAnswer | undefined {
    for (let at = 0; at < bytes.length && this.#state !== "done"; )
      at = this.#state === "body" ? this.#readBody(bytes, at) : this.#readLine(bytes, at);
    return this.#state === "done" ? this.#answer() : undefined;
  }

  /** The server has closed. */
  end(): HttpAnswer {
    if (this.#state === "body" && !this.#isChunked && this.#left === Number.POSITIVE_INFINITY)
      return this.#answer();
    if (this.#state === "done") return this.#answer();
    if (this.#state === "status" || this.#state === "header")
      throw new Error(this.#headBytes + this.#partial.length === 0 ? "EOF" : "unexpected EOF");
    throw new BodyError("unexpected EOF");
  }

  /** Whether the head is there. */
  get hasStatus(): boolean {
    return this.#state !== "status" && this.#state !== "header";
  }

  #answer(): HttpAnswer {
    const body = Buffer.concat(this.#body).toString("utf8");
    return { status: this.#status, body, ...(this.#location ? { location: this.#location } : {}) };
  }

  #readLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(10, at);
    const until = end < 0 ? bytes.length : end;
    this.#headBytes += until - at;
    if (this.#headBytes > headMaxBytes) {
      if (this.hasStatus) throw new BodyError("chunked encoding contains too much non-data");
      throw new Error(`net/http: server response headers exceeded ${headMaxBytes} bytes; aborted`);
    }
    const text = bytes.toString("latin1", at, until);
    if (end < 0) {
      this.#partial += text;
      return until;
    }
    const line = this.#partial + text;
    this.#partial = "";
    this.#takeLine(line.endsWith("\r") ? line.slice(0, -1) : line);
    return end + 1;
  }

  #takeLine(line: string): void {
    if (this.#state === "status") this.#takeStatus(line);
    else if (this.#state === "header") line === "" ? this.#endHead() : this.#takeHeader(line);
    else if (this.#state === "chunk") this.#takeChunkSize(line);
    else if (this.#state === "trailer") this.#state = line === "" ? "done" : "trailer";
    else if (line !== "") throw new BodyError("malformed chunked encoding");
    else this.#state = "chunk";
  }

  #takeStatus(line: string): void {
    const space = line.indexOf(" ");
    if (space < 0) throw broken(`malformed HTTP response ${quoted(line)}`);
    const [code = ""] = line.slice(space).trimStart().split(" ", 1);
    if (!/^\d{3}$/.test(code)) throw broken(`malformed HTTP status code ${quoted(code)}`);
    const version = line.slice(0, space);
    if (!/^HTTP\/\d\.\d$/.test(version)) throw broken(`malformed HTTP version ${quoted(version)}`);
    this.#status = Number(code);
    this.#isHttp10 = version < "HTTP/1.1";
    this.#state = "header";
  }

  #takeHeader(line: string): void {
    // Continues the one before, of which nothing was asked for that could be folded.
    if (line.startsWith(" ") || line.startsWith("\t")) return;
    const colon = line.indexOf(":");
    if (colon <= 0) throw broken(`malformed MIME header line: ${line}`);
    // Three are looked at; their first letters rule out most others.
    if (!"clCLtT".includes(line.charAt(0))) return;
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === "location") this.#location ??= Buffer.from(value, "latin1").toString("utf8");
    else if (name === "content-length") this.#takeContentLength(value);
    else if (name === "transfer-encoding") {
      if (this.#transferEncoding !== undefined && !this.#isHttp10)
        throw broken(`too many transfer encodings: ${quoted(`${this.#transferEncoding} ${value}`)}`);
      this.#transferEncoding = value;
    }
  }

  #takeContentLength(value: string): void {
    const before = this.#contentLength;
    if (before !== undefined && before !== value)
      throw broken(
        `http: message cannot contain multiple Content-Length headers; got [${quoted(before)} ${quoted(value)}]`,
      );
    this.#contentLength = value;
  }

  #endHead(): void {
    // What comes before the answer is not the answer.
    if (this.#status < 200 && this.#status >= 100 && this.#status !== 101) {
      this.#again();
      return;
    }
    const encoding = this.#isHttp10 ? undefined : this.#transferEncoding;
    const length = this.#contentLength;
    if (encoding !== undefined && encoding.toLowerCase() !== "chunked")
      throw broken(`unsupported transfer encoding: ${quoted(encoding)}`);
    if (length !== undefined && encoding === undefined && !/^\d{1,15}$/.test(length))
      throw broken(`${length === "" ? "invalid empty" : "bad"} Content-Length ${quoted(length)}`);
    const hasNone = this.#status < 200 || this.#status === 204 || this.#status === 304;
    if (hasNone || (encoding === undefined && length !== undefined && Number(length) === 0)) {
      this.#state = "done";
      return;
    }
    this.#isChunked = encoding !== undefined;
    if (!this.#isChunked && length !== undefined) this.#left = Number(length);
    this.#state = this.#isChunked ? "chunk" : "body";
  }

  #again(): void {
    this.#state = "status";
    this.#location = undefined;
    this.#transferEncoding = undefined;
    this.#contentLength = undefined;
  }

  #takeChunkSize(line: string): void {
    const digits = line.split(";", 1)[0]!.trimEnd();
    if (digits === "") throw new BodyError("empty hex number for chunk length");
    if (!/^[0-9a-f]+$/i.test(digits)) throw new BodyError("invalid byte in chunk length");
    if (digits.length > chunkDigitsMax) throw new BodyError("http chunk length too large");
    this.#left = Number.parseInt(digits, 16);
    this.#state = this.#left === 0 ? "trailer" : "body";
  }

  #readBody(bytes: Buffer, at: number): number {
    const until = Math.min(bytes.length, at + this.#left, at + bodyMaxBytes - this.#bodyBytes);
    this.#body.push(Buffer.from(bytes.subarray(at, until)));
    this.#bodyBytes += until - at;
    this.#left -= until - at;
    if (this.#bodyBytes >= bodyMaxBytes) this.#state = "done";
    else if (this.#left === 0) this.#state = this.#isChunked ? "chunk end" : "done";
    return until;
  }
}

const broken = (what: string) => new Error(`net/http: HTTP/1.x transport connection broken: ${what}`);
