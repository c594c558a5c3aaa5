/** What is wrong with an expression, or went wrong while it was evaluated. */
export class CelError extends Error {
  override name = "CelError";
}
