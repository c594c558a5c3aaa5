/** Waiting for something that cannot itself be stopped. */

export class InterruptedError extends Error {
  override name = "InterruptedError";
  constructor() {
    super("interrupted: something newer has to be done");
  }
}

/** The result of `work`, or `InterruptedError` as soon as `signal` aborts; what `work` then still does is ignored. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new InterruptedError());
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
