/**
 * The three kinds of failure, never mixed: a bug asserts and crashes; a client's fault is a `Status` (see `#api`);
 * what the person at the command line can mend is a `UserError`.
 */

/** Something the user can mend: `message` says what is wrong, `mend` what to do about it. */
export class UserError extends Error {
  readonly mend: string | undefined;

  constructor(message: string, mend?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "UserError";
    this.mend = mend;
  }
}

/** A broken invariant: a bug in Knarr itself. */
export class BugError extends Error {
  override name = "BugError";
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new BugError(message);
}

/** Marks a place that the types say cannot be reached. */
export function unreachable(value: never): never {
  throw new BugError(`unreachable: ${JSON.stringify(value)}`);
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node system error (`ENOENT`, `EADDRINUSE`…), if it has one. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}
