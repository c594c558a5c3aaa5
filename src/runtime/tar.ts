/** Writing tar archives in memory, reproducibly: no times, no owners. */
import { pack } from "tar-stream";

export interface TarEntry {
  path: string;
  content?: Uint8Array;
  mode?: number;
  /** A symbolic link to this target. */
  linkTo?: string;
  directory?: boolean;
}

/** The whole archive as bytes. */
export async function tarOf(entries: readonly TarEntry[]): Promise<Buffer> {
  const archive = pack();
  const chunks: Buffer[] = [];
  const done = (async () => {
    for await (const chunk of archive) chunks.push(chunk as Buffer);
  })();
  for (const entry of entries) {
    const common = { name: entry.path.replace(/^\/+/, ""), mtime: new Date(0), uid: 0, gid: 0 };
    if (entry.linkTo !== undefined) archive.entry({ ...common, type: "symlink", linkname: entry.linkTo });
    else if (entry.directory) archive.entry({ ...common, type: "directory", mode: entry.mode ?? 0o755 });
    else {
      const content = Buffer.from(entry.content ?? new Uint8Array());
      archive.entry({ ...common, type: "file", mode: entry.mode ?? 0o644, size: content.length }, content);
    }
  }
  archive.finalize();
  await done;
  return Buffer.concat(chunks);
}
