/** One HTTP request of a probe or a hook. Certificates are not checked: the pod speaks for itself. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { connect } from "node:net";
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
  return follow(url, headers, { clock, endMs: clock.monotonic() + timeoutMs }, redirectsMax);
}

/** One time for the answer, however often it sends elsewhere. */
interface Patience {
  clock: Clock;
  endMs: number;
}

async function follow(
  url: URL,
  headers: Record<string, string>,
  patience: Patience,
  left: number,
): Promise<HttpAnswer> {
  const answer = await once(url, headers, patience);
  const location = answer.location;
  if (answer.status < 300 || answer.status >= 400 || !location) return answer;
  const next = new URL(location, url);
  // Elsewhere is not the pod: the redirect itself is the answer.
  if (next.hostname !== url.hostname || left === 0) return answer;
  return follow(next, headers, patience, left - 1);
}

/** A connection for each request: the default agent would keep it, and one made for each request costs as much again. */
const encrypted = new HttpsAgent({ keepAlive: false, rejectUnauthorized: false, maxCachedSessions: 0 });

function send(url: URL, headers: Record<string, string>, received: (response: IncomingMessage) => void) {
  if (url.protocol === "https:") return httpsRequest(url, { headers, agent: encrypted }, received);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const createConnection = () => connect({ host, port: Number(url.port) || 80 });
  return httpRequest(url, { headers, createConnection }, received);
}

function once(
  url: URL,
  headers: Record<string, string>,
  { clock, endMs }: Patience,
): Promise<HttpAnswer & { location?: string }> {
  return new Promise((resolve, reject) => {
    let late = false;
    const failed = (error: Error) => {
      timer.cancel();
      const lateWords = `Get "${url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`;
      reject(late ? new Error(lateWords) : new Error(getWords(error, url), { cause: error }));
    };
    const received = (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        if (size < bodyMaxBytes) chunks.push(chunk);
        size += chunk.length;
        if (size >= bodyMaxBytes) finish();
      });
      const finish = () => {
        timer.cancel();
        const { location } = response.headers;
        const body = Buffer.concat(chunks).subarray(0, bodyMaxBytes).toString("utf8");
        resolve({ status: response.statusCode ?? 0, body, ...(location ? { location } : {}) });
        response.destroy();
      };
      response.on("end", finish);
      response.on("error", failed);
    };
    const request = send(url, headers, received);
    const timer = clock.after(Math.max(0, endMs - clock.monotonic()), () => {
      late = true;
      request.destroy(new Error("late"));
    });
    request.on("error", failed);
    request.end();
  });
}
