/**
 * One HTTP request of a probe or a hook, and where it is sent on. It is HTTP/1.1 by hand over a socket: a thousand of them a
 * second with Node's client cost twice as much (docs/decisions/0015-memory.md). Certificates are not checked: the pod speaks
 * for itself.
 * https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#http-probes
 */
import { connect, isIP, type Socket } from "node:net";
import { createSecureContext, type SecureContext, connect as tlsConnect } from "node:tls";
import type { corev1 } from "#api";
import type { Clock } from "#base";
import { BodyError, type HttpAnswer, ResponseReader } from "./http-response.ts";
import { type HttpTarget, headersOf, isSameHost, redirectOf, requestHead, targetOf } from "./http-target.ts";
import { exchangeWords } from "./network-words.ts";

const requestsMax = 10;
const schemes = new Set(["http", "https"]);
const redirects = new Set([301, 302, 303, 307, 308]);

/** One time for the answer, however often it sends elsewhere. */
interface Patience {
  clock: Clock;
  endMs: number;
}

export async function httpGet(
  action: Readonly<corev1.HTTPGetAction>,
  hostname: string,
  port: number,
  timeoutMs: number,
  clock: Clock,
  purpose: "probe" | "lifecycle" = "probe",
): Promise<HttpAnswer> {
  const agent = `kube-${purpose}/1.36`;
  const patience = { clock, endMs: clock.monotonic() + timeoutMs };
  const given = headersOf(action.httpHeaders);
  let [target, headers] = [targetOf(action, hostname, port), given];
  for (let asked = 1; ; asked++) {
    const head = inWords(target, () => requestHead(target, headers, agent));
    const answer = await once(target, head, patience);
    const { location } = answer;
    if (!redirects.has(answer.status) || !location) return answer;
    const next = inWords(target, () => redirectOf(target, location));
    // Elsewhere is not the pod: the redirect itself is the answer.
    if (!isSameHost(target, next)) return answer;
    if (asked === requestsMax) throw getError(location, "stopped after 10 redirects");
    if (!schemes.has(next.scheme)) throw getError(next.text, `unsupported protocol scheme "${next.scheme}"`);
    // A Host of the pod's own does not go with a URL that has one.
    if (URL.canParse(location)) given.delete("Host");
    headers = withReferer(given, target, next);
    target = next;
  }
}

/** Each redirect tells where it came from, unless that was a secret. */
function withReferer(
  given: ReadonlyMap<string, string[]>,
  from: Readonly<HttpTarget>,
  to: Readonly<HttpTarget>,
): Map<string, string[]> {
  const isSecret = from.scheme === "https" && to.scheme === "http";
  return new Map(given.has("Referer") || isSecret ? given : [...given, ["Referer", [from.text]]]);
}

const getError = (url: string, words: string, cause?: unknown) =>
  new Error(`Get ${JSON.stringify(url)}: ${words}`, { cause });

function inWords<T>({ text }: Readonly<HttpTarget>, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw getError(text, (error as Error).message, error);
  }
}

const lateWords = "context deadline exceeded";

async function once(
  target: Readonly<HttpTarget>,
  head: string,
  { clock, endMs }: Patience,
): Promise<HttpAnswer> {
  const reader = new ResponseReader();
  const answered = Promise.withResolvers<HttpAnswer>();
  let settled = false;
  const finish = (make: () => HttpAnswer | undefined) => {
    if (settled) return;
    try {
      const answer = make();
      if (!answer) return;
      answered.resolve(answer);
    } catch (error) {
      const isBody = error instanceof BodyError;
      answered.reject(isBody ? error : getError(target.text, (error as Error).message, error));
    }
    settled = true;
    timer.cancel();
    socket.destroy();
  };
  const fail = (words: string, inBody = words) =>
    finish(() => {
      throw reader.hasStatus ? new BodyError(inBody) : new Error(words);
    });
  const socket = open(target, (bytes) => finish(() => reader.push(bytes)));
  const timer = clock.after(endMs - clock.monotonic(), () =>
    fail(
      `${lateWords} (Client.Timeout exceeded while awaiting headers)`,
      `${lateWords} (Client.Timeout or context cancellation while reading body)`,
    ),
  );
  let local: { address?: string; port?: number } = {};
  socket.once(target.scheme === "https" ? "secureConnect" : "connect", () => {
    local = socket.address();
    socket.write(head);
  });
  socket.on("error", (error) => fail(exchangeWords(error, target, local)));
  socket.on("close", () => finish(() => reader.end()));
  return answered.promise;
}

/** What comes is read into the same memory for all of them: nobody keeps it. */
const readBuffer = Buffer.allocUnsafeSlow(16 * 1024);
let secureContext: SecureContext | undefined;

function open({ scheme, hostname, port }: Readonly<HttpTarget>, received: (bytes: Buffer) => void): Socket {
  if (scheme === "https") {
    // No authorities: nothing is checked, and reading those of the world would cost some megabytes.
    secureContext ??= createSecureContext({ ca: [] });
    const servername = isIP(hostname) ? "" : hostname;
    const tls = { secureContext, servername, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] };
    return tlsConnect({ host: hostname, port, ...tls }).on("data", received);
  }
  const callback = (length: number) => {
    received(readBuffer.subarray(0, length));
    return true;
  };
  return connect({ host: hostname, port, onread: { buffer: readBuffer, callback } });
}
