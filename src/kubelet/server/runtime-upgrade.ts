/** Opens a SPDY/3.1 connection to the runtime's streaming server. */
import { type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import { HttpError } from "./request.ts";

const answerTimeoutMs = 30_000;
const refusalMaxBytes = 64 * 1024;

/** The runtime's connection once it has agreed to leave HTTP; its own words as an HttpError otherwise. */
export function upgradeToSpdy(url: URL, streamProtocol: string, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const headers = {
      connection: "Upgrade",
      upgrade: "SPDY/3.1",
      "x-stream-protocol-version": streamProtocol,
    };
    const outgoing = request(url, { method: "POST", headers, agent: false, signal });
    outgoing.setTimeout(answerTimeoutMs, () => outgoing.destroy(new Error("the runtime did not answer")));
    outgoing.on("error", reject);
    outgoing.on("upgrade", (_response, socket, head) => {
      socket.setTimeout(0);
      socket.setNoDelay(true);
      // Whoever takes the connection over hears of its end; until then an error must not be nobody's.
      socket.on("error", () => socket.destroy());
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    outgoing.on("response", (response) => {
      refusalOf(response).then(reject, reject);
    });
    outgoing.end();
  });
}

async function refusalOf(response: IncomingMessage): Promise<HttpError> {
  let text = "";
  for await (const chunk of response as AsyncIterable<Buffer>) {
    if (text.length < refusalMaxBytes) text += chunk.toString("utf8");
  }
  const status = response.statusCode ?? 500;
  return new HttpError(status < 400 ? 502 : status, text.trim() || `the runtime answered ${status}`);
}
