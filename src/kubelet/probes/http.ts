/** One HTTP request of a probe or a hook. Certificates are not checked: the pod speaks for itself. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { corev1 } from "#api";
import type { Clock } from "#base";
import { getWords } from "./network-words.ts";

export interface HttpAnswer {
  status: number;
  body: string;
}

/** What is read of an answer; upstream's bound. */
const bodyMaxBytes = 10 * 1024;
const redirectsMax = 10;

export async function httpGet(
  action: Readonly<corev1.HTTPGetAction>,
  host: string,
  port: number,
  timeoutMs: number,
  clock: Clock,
): Promise<HttpAnswer> {
  const scheme = (action.scheme ?? "HTTP").toLowerCase();
  const address = host.includes(":") ? `[${host}]` : host;
  const path = action.path?.startsWith("/") ? action.path : `/${action.path ?? ""}`;
  const headers: Record<string, string> = {
    "user-agent": "kube-probe/1.36",
    accept: "*/*",
    connection: "close",
  };
  for (const { name, value } of action.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  const url = new URL(`${scheme}://${address}:${port}${path}`);
  const late = new AbortController();
  const timer = clock.after(timeoutMs, () => late.abort());
  return follow(url, headers, late.signal, redirectsMax).finally(() => timer.cancel());
}

async function follow(
  url: URL,
  headers: Record<string, string>,
  signal: AbortSignal,
  left: number,
): Promise<HttpAnswer> {
  const answer = await once(url, headers, signal);
  const location = answer.location;
  if (answer.status < 300 || answer.status >= 400 || !location) return answer;
  const next = new URL(location, url);
  // Elsewhere is not the pod: the redirect itself is the answer.
  if (next.hostname !== url.hostname || left === 0) return answer;
  return follow(next, headers, signal, left - 1);
}

function once(
  url: URL,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<HttpAnswer & { location?: string }> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) =>
      reject(
        signal.aborted
          ? new Error(
              `Get "${url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
            )
          : new Error(getWords(error, url), { cause: error }),
      );
    const received = (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        if (size < bodyMaxBytes) chunks.push(chunk);
        size += chunk.length;
        if (size >= bodyMaxBytes) finish();
      });
      const finish = () => {
        const { location } = response.headers;
        const body = Buffer.concat(chunks).subarray(0, bodyMaxBytes).toString("utf8");
        resolve({ status: response.statusCode ?? 0, body, ...(location ? { location } : {}) });
        response.destroy();
      };
      response.on("end", finish);
      response.on("error", failed);
    };
    const request =
      url.protocol === "https:"
        ? httpsRequest(url, { headers, signal, rejectUnauthorized: false, agent: false }, received)
        : httpRequest(url, { headers, signal, agent: false }, received);
    request.on("error", failed);
    request.end();
  });
}
