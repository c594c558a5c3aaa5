/** Posts JSON to an extender, over connections that are kept. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { TlsOptions } from "./extender-configuration.ts";

/** Nodes may come back whole, thousands of them. */
const answerMaxBytes = 256 * 1024 * 1024;

export interface ExtenderTransport {
  /** Throws what went wrong. */
  post(verb: string, body: unknown): Promise<unknown>;
  close(): void;
}

export function extenderTransport(urlPrefix: string, timeoutMs: number, tls: TlsOptions): ExtenderTransport {
  const prefix = urlPrefix.replace(/\/+$/, "");
  const isTls = prefix.startsWith("https:");
  const agent = isTls ? new HttpsAgent({ ...tls, keepAlive: true }) : new HttpAgent({ keepAlive: true });
  const start = isTls ? httpsRequest : httpRequest;
  return {
    post(verb, body) {
      const url = `${prefix}/${verb}`;
      const text = JSON.stringify(body);
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
      const signal = AbortSignal.timeout(timeoutMs);
      return new Promise((resolve, reject) => {
        const fail = ({ message }: Error) => {
          const why = signal.aborted ? "context deadline exceeded" : message;
          reject(new Error(`Post ${JSON.stringify(url)}: ${why}`));
        };
        const outgoing = start(url, { method: "POST", agent, headers, signal }, (incoming) => {
          read(incoming)
            .then((answer) => {
              const { statusCode } = incoming;
              if (statusCode !== 200)
                throw new Error(`failed ${verb} with extender at URL ${url}, code ${statusCode}`);
              resolve(JSON.parse(answer));
            })
            .catch((error: Error) => (incoming.complete ? reject(error) : fail(error)));
        });
        outgoing.on("error", fail);
        outgoing.end(text);
      });
    },
    close: () => agent.destroy(),
  };
}

async function read(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > answerMaxBytes) throw new Error(`an answer of more than ${answerMaxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
