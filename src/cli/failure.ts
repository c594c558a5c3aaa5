/** The last words of a process that `knarr up` has started: kept in a file, so that whoever waits can show them. */
import { writeFile } from "node:fs/promises";
import { messageOf, UserError } from "#base";

export async function keepFailure(file: string, error: unknown): Promise<void> {
  const mend = error instanceof UserError ? error.mend : undefined;
  await writeFile(file, JSON.stringify({ message: messageOf(error), mend })).catch(() => {});
}
