/**
 * No request waits for ever: what is not answered in time is a 504, whatever becomes of the work.
 * https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/ (--request-timeout)
 */
import { badRequest, StatusError } from "#api";
import { type Clock, goDurationMs } from "#base";

const requestTimeoutMs = 60_000;

/** What the client allows, at most what the server does. Throws a 400 for what is no duration. */
export function timeoutOf(query: URLSearchParams): number {
  const text = query.get("timeout");
  if (!text || text === "0") return requestTimeoutMs;
  const ms = goDurationMs(text.slice(0, 100));
  if (ms === undefined) {
    const parsed = JSON.stringify(text.slice(0, 100));
    throw badRequest(`invalid timeout specified in the request URL - time: invalid duration ${parsed}`);
  }
  return ms > 0 ? Math.min(ms, requestTimeoutMs) : requestTimeoutMs;
}

/** Answers with 504 when `work` takes longer. */
export function withDeadline<R>(clock: Clock, timeoutMs: number, work: Promise<R>): Promise<R> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => {
      const message = "Timeout: request did not complete within the allotted timeout";
      reject(StatusError.of(504, "Timeout", message));
    });
    const settle = <A>(done: (value: A) => void) => {
      return (value: A) => {
        timer.cancel();
        done(value);
      };
    };
    work.then(settle(resolve), settle(reject));
  });
}
