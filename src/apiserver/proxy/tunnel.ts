/** Connections that leave HTTP: once the other side has agreed, bytes pass both ways as they are. */
import { type ClientRequest, type IncomingMessage as Message, STATUS_CODES } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";

const errorBodyMaxBytes = 64 * 1024;
/** A client that lost power is noticed after so long without a word. */
const keepAliveMs = 30_000;

export class Tunnels {
  readonly #open = new Set<Duplex>();

  /** How many are open. */
  get count(): number {
    return this.#open.size / 2;
  }

  close(): void {
    for (const socket of this.#open) socket.destroy();
  }

  /** Sends the request for an upgrade; done when bytes flow, or when the refusal stands with the client. */
  open(
    outgoing: ClientRequest,
    client: Duplex,
    head: Buffer,
    explain: (error: unknown) => Error,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      outgoing.on("error", (error) => reject(explain(error)));
      client.once("close", () => outgoing.destroy());
      outgoing.on("upgrade", (response, backend, backendHead) => {
        client.write(responseHead(response));
        if (backendHead.length > 0) client.write(backendHead);
        if (head.length > 0) backend.write(head);
        this.#join(client, backend);
        resolve();
      });
      outgoing.on("response", (response: Message) => {
        passRefusal(response, client).then(resolve, reject);
      });
      outgoing.end();
    });
  }

  /** Without its client a stream ends at once; what the backend said last still reaches the client. */
  #join(client: Duplex, backend: Duplex): void {
    for (const socket of [client, backend]) {
      this.#open.add(socket);
      socket.once("close", () => this.#open.delete(socket));
      if (socket instanceof Socket) socket.setNoDelay(true).setKeepAlive(true, keepAliveMs).setTimeout(0);
    }
    const clientGone = () => {
      client.destroy();
      backend.destroy();
    };
    const backendGone = () => {
      backend.destroy();
      if (client instanceof Socket) client.destroySoon();
      else client.end();
    };
    client.on("error", clientGone).on("close", clientGone);
    backend.on("error", backendGone).on("close", backendGone);
    client.pipe(backend);
    backend.pipe(client);
    if (client.destroyed) clientGone();
  }
}

function responseHead(response: Message): Buffer {
  const lines = [
    `HTTP/1.1 ${response.statusCode} ${response.statusMessage || STATUS_CODES[response.statusCode ?? 101]}`,
  ];
  for (let i = 0; i < response.rawHeaders.length; i += 2) {
    lines.push(`${response.rawHeaders[i]}: ${response.rawHeaders[i + 1]}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

/** What a refusal says, up to a bound. */
export async function refusalWords(response: Message): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= errorBodyMaxBytes) chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The backend said no: the client reads its words. */
async function passRefusal(response: Message, client: Duplex): Promise<void> {
  const body = await refusalWords(response);
  const type = response.headers["content-type"] ?? "text/plain";
  const head = `HTTP/1.1 ${response.statusCode} ${response.statusMessage}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
  client.end(Buffer.concat([Buffer.from(head, "latin1"), body]));
}
