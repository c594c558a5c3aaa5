/**
 * Named places where a test may make the program fail. `KNARR_FAILPOINTS="store/before-commit=kill"` in the
 * environment, or `enableFailpoint` in a test; a place that is not enabled costs one lookup in an empty map.
 */

/** `kill`: the process dies at once, as with power loss; `throw`: the call fails. */
export type FailpointAction = "kill" | "throw";

const enabled = new Map<string, FailpointAction>();

for (const term of (process.env.KNARR_FAILPOINTS ?? "").split(",")) {
  const [name, action] = term.split("=");
  if (name && (action === "kill" || action === "throw")) enabled.set(name, action);
}

export class FailpointError extends Error {
  override name = "FailpointError";
}

/** Returns a function that disables the failpoint again. */
export function enableFailpoint(name: string, action: FailpointAction): () => void {
  enabled.set(name, action);
  return () => void enabled.delete(name);
}

export function failpoint(name: string): void {
  if (enabled.size === 0) return;
  const action = enabled.get(name);
  if (action === "kill") process.kill(process.pid, "SIGKILL");
  if (action === "throw") throw new FailpointError(`failpoint ${name}`);
}
