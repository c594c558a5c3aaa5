/**
 * Images on the machine: import of archives (`docker save`, OCI layouts), list, remove. Import goes through `ctr`,
 * containerd's own tool; the rest through CRI.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract, pack } from "tar-stream";
import { type Clock, run, runOk, UserError } from "#base";
import { type ContainerRuntime, type Image, normalizeReference } from "#contracts";

export interface ImageStore {
  /** A file (an archive, also gzipped, or a folder with an OCI layout) or an archive in memory. Answers the names. */
  import(source: string | Uint8Array): Promise<string[]>;
  /** Writes an image to `file`, as `docker save` would. */
  export(name: string, file: string): Promise<void>;
  list(): Promise<Image[]>;
  remove(name: string): Promise<void>;
}

interface StoreOptions {
  socketPath: string;
  runtime: ContainerRuntime;
  clock: Clock;
  scratchDir: string;
}

/** What an archive says of itself is small; more is refused. */
const indexMaxBytes = 4 * 1024 * 1024;
const importTimeoutMs = 10 * 60_000;
const visibleTimeoutMs = 10_000;

interface Index {
  manifests?: { annotations?: Record<string, string> }[];
}

/** The images an archive holds, from its two possible tables of contents. */
export function namesOf(
  index: Index | undefined,
  manifest: { RepoTags?: string[] | null }[] | undefined,
): string[] {
  const names = new Set<string>();
  for (const m of index?.manifests ?? []) {
    const name =
      m.annotations?.["io.containerd.image.name"] ?? m.annotations?.["org.opencontainers.image.ref.name"];
    if (name) names.add(normalizeReference(name));
  }
  for (const m of manifest ?? []) for (const tag of m.RepoTags ?? []) names.add(normalizeReference(tag));
  return [...names];
}

/** containerd takes a whole name only from its own annotation: other tools write `ref.name`. True when changed. */
export function completeIndex(index: Index): boolean {
  let changed = false;
  for (const m of index.manifests ?? []) {
    const own = m.annotations?.["io.containerd.image.name"];
    const name = own ?? m.annotations?.["org.opencontainers.image.ref.name"];
    if (!name || own === normalizeReference(name)) continue;
    m.annotations = { ...m.annotations, "io.containerd.image.name": normalizeReference(name) };
    changed = true;
  }
  return changed;
}

function parse<T>(bytes: Buffer, what: string): T {
  try {
    return JSON.parse(bytes.toString("utf8")) as T;
  } catch {
    throw new UserError(`the image archive is damaged: ${what} is not JSON`);
  }
}

interface Contents {
  index?: Index;
  manifest?: { RepoTags?: string[] | null }[];
}

async function readContents(tarFile: string): Promise<Contents> {
  const contents: Contents = {};
  const reader = extract();
  const reading = (async () => {
    for await (const entry of reader) {
      const name = entry.header.name.replace(/^\.\//, "");
      if (name !== "index.json" && name !== "manifest.json") {
        entry.resume();
        continue;
      }
      if ((entry.header.size ?? 0) > indexMaxBytes)
        throw new UserError(`the image archive is damaged: ${name} is too large`);
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      if (name === "index.json") contents.index = parse(Buffer.concat(chunks), name);
      else contents.manifest = parse(Buffer.concat(chunks), name);
    }
  })();
  try {
    await Promise.all([pipeline(createReadStream(tarFile), reader), reading]);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${tarFile} is no image archive`, "save it with: docker save -o FILE IMAGE", {
      cause: error,
    });
  }
  return contents;
}

/** The same archive with another index.json. */
async function rewriteIndex(from: string, to: string, index: Index): Promise<void> {
  const reader = extract();
  const writer = pack();
  const copying = (async () => {
    for await (const entry of reader) {
      if (entry.header.name.replace(/^\.\//, "") === "index.json") {
        entry.resume();
        writer.entry({ name: "index.json" }, JSON.stringify(index));
        continue;
      }
      await pipeline(entry, writer.entry(entry.header));
    }
    writer.finalize();
  })();
  await Promise.all([
    pipeline(createReadStream(from), reader),
    copying,
    pipeline(writer, createWriteStream(to, { mode: 0o600 })),
  ]);
}

/** A plain tar of whatever was given, in the scratch folder unless the file is one already. */
async function plainTar(source: string | Uint8Array, scratch: string): Promise<string> {
  const target = join(scratch, "image.tar");
  if (typeof source !== "string") {
    await writeFile(target, source, { mode: 0o600 });
    return target;
  }
  const info = await stat(source).catch(() => undefined);
  if (!info) throw new UserError(`${source} does not exist`);
  if (info.isDirectory()) {
    await readFile(join(source, "oci-layout")).catch(() => {
      throw new UserError(
        `${source} is no OCI layout`,
        "name an archive or a folder with an oci-layout file",
      );
    });
    await runOk("tar", ["-C", source, "-cf", target, "."]);
    return target;
  }
  const file = await open(source);
  const magic = Buffer.alloc(2);
  await file.read(magic, 0, 2, 0).finally(() => file.close());
  if (magic[0] !== 0x1f || magic[1] !== 0x8b) return source;
  await pipeline(createReadStream(source), createGunzip(), createWriteStream(target, { mode: 0o600 })).catch(
    (error: unknown) => {
      throw new UserError(`${source} is damaged: ${String(error)}`);
    },
  );
  return target;
}

export function imageStore(options: StoreOptions): ImageStore {
  const { runtime, clock } = options;

  async function importTar(source: string | Uint8Array, scratch: string): Promise<string[]> {
    let tar = await plainTar(source, scratch);
    const contents = await readContents(tar);
    const names = namesOf(contents.index, contents.manifest);
    if (names.length === 0) {
      throw new UserError(
        "the image archive names no image",
        "save it by name: docker save -o FILE NAME:TAG",
      );
    }
    if (contents.index && !contents.manifest && completeIndex(contents.index)) {
      const whole = join(scratch, "whole.tar");
      await rewriteIndex(tar, whole, contents.index);
      tar = whole;
    }
    await ctr("import", [tar]);
    await waitVisible(names);
    return names;
  }

  async function ctr(verb: "import" | "export", args: readonly string[]): Promise<void> {
    const where = ["--address", options.socketPath, "--namespace", "k8s.io", "images", verb];
    const result = await run("ctr", [...where, ...args], { timeoutMs: importTimeoutMs });
    if (result.code !== 0)
      throw new UserError(
        `the image could not be ${verb}ed: ${result.stderr.trim() || result.stdout.trim()}`,
      );
  }

  /** CRI learns of an import through an event of containerd's: a moment later. */
  async function waitVisible(names: readonly string[]): Promise<void> {
    const deadlineMs = clock.monotonic() + visibleTimeoutMs;
    for (const name of names) {
      while (!(await runtime.imageStatus(name))) {
        if (clock.monotonic() > deadlineMs)
          throw new UserError(
            `the image ${name} was imported but cannot be used`,
            "is it built for this machine's architecture?",
          );
        await clock.sleep(10);
      }
    }
  }

  return {
    async import(source) {
      const scratch = await mkdtemp(join(options.scratchDir, "import-"));
      try {
        return await importTar(source, scratch);
      } finally {
        await rm(scratch, { recursive: true, force: true });
      }
    },
    export: (name, file) => ctr("export", [file, normalizeReference(name)]),
    list: () => runtime.listImages(),
    remove: (name) => runtime.removeImage(normalizeReference(name)),
  };
}
