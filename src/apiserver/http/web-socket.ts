/**
 * Logs and watches over a WebSocket, for clients that can read nothing else as it comes.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-streams
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { ApiRequest, ApiResponse } from "./exchange.ts";
import { resourceInfoOf } from "./request-info.ts";
import { isWatch } from "./watch.ts";

const protocols = ["binary.k8s.io", "base64.binary.k8s.io"];
/** What such a client says is not for us. */
const messageMaxBytes = 1024;

const server = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  maxPayload: messageMaxBytes,
  handleProtocols: (offered) => protocols.find((each) => offered.has(each)) ?? false,
});

/** True for requests whose answer is one stream from the server to the client. */
export function isReadableStream({ path, query, method }: ApiRequest): boolean {
  if (method !== "GET") return false;
  const info = resourceInfoOf(path);
  if (!info) return false;
  return info.subresource === "log" || (info.subresource === "" && isWatch(query));
}

/** Answers before the handshake where there is nothing to read; a watch's frames are messages, a log's pieces are. */
export async function overWebSocket(
  request: ApiRequest,
  message: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  handle: (request: ApiRequest) => Promise<ApiResponse>,
): Promise<ApiResponse | undefined> {
  const response = await handle(request);
  if (response.status !== 200) return response;
  const isText = resourceInfoOf(request.path)?.subresource === "";
  server.handleUpgrade(message, socket, head, (client) => {
    client.on("error", () => client.terminate());
    const isBase64 = client.protocol === "base64.binary.k8s.io";
    const send = (bytes: Uint8Array) =>
      new Promise<void>((resolve) => {
        const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const payload = isBase64 ? buffer.toString("base64") : isText ? buffer.toString("utf8") : buffer;
        client.send(payload, { binary: !isText && !isBase64 }, () => resolve());
      });
    void pump(response, isText, send).finally(() => client.close());
  });
  return undefined;
}

/** At the client's pace: the next piece is read when the one before has been sent. */
async function pump(
  { body }: ApiResponse,
  isLines: boolean,
  send: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  if (Buffer.isBuffer(body)) return send(body);
  let rest = Buffer.alloc(0);
  try {
    for await (const chunk of body) {
      if (!isLines) {
        await send(chunk);
        continue;
      }
      rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : Buffer.from(chunk);
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
        await send(rest.subarray(0, end));
        rest = rest.subarray(end + 1);
      }
    }
  } catch {
    // The stream broke: so does the connection.
  }
}
