/** `knarr logs`: the last lines of the server's log, and those that come. */
import { open } from "node:fs/promises";
import { codeOf, systemClock, UserError } from "#base";
import { checkName, pathsOf } from "#distro";

interface LogsOptions {
  name: string;
  dataDir?: string;
  follow?: boolean;
  tail: number;
}

const chunkBytes = 64 * 1024;
const pollMs = 200;

export async function logs(options: LogsOptions): Promise<void> {
  checkName(options.name);
  const path = pathsOf(options.name, options.dataDir).log;
  const file = await open(path, "r").catch((error) => {
    if (codeOf(error) !== "ENOENT") throw error;
    throw new UserError(
      `there is no log of a cluster "${options.name}"`,
      `start it with: knarr up --name ${options.name}`,
    );
  });
  // Whoever reads has gone: following on would never end.
  process.stdout.once("error", () => process.exit(0));
  const { size } = await file.stat();
  let position = await tailStart(file, size, options.tail);
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, position);
    if (bytesRead > 0) process.stdout.write(buffer.subarray(0, bytesRead));
    position += bytesRead;
    if (bytesRead > 0) continue;
    if (!options.follow) break;
    await systemClock.sleep(pollMs);
  }
  await file.close();
}

/** Where the last `lines` lines begin, read backwards from the end. */
async function tailStart(
  file: Awaited<ReturnType<typeof open>>,
  size: number,
  lines: number,
): Promise<number> {
  let seen = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - chunkBytes);
    const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    for (let i = buffer.length - 1; i >= 0; i--) {
      // The newline at the very end closes the last line, it does not begin one.
      if (buffer[i] === 10 && start + i !== size - 1 && ++seen >= lines) return start + i + 1;
    }
    end = start;
  }
  return lines === 0 ? size : 0;
}
