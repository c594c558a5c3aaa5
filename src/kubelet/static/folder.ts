/** The files that static pods come from: one, or all of a folder but hidden ones. */
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { corev1 } from "#api";
import { codeOf, messageOf, type World } from "#base";
import { fullNameOf, staticPodOf } from "./manifest.ts";
import type { UrlManifests } from "./url.ts";

const fileMaxBytes = 1024 * 1024;
const filesMax = 1000;

export interface Manifests {
  load(): Promise<void>;
  /** By full name: of two files that name the same pod the first counts. */
  pods(): Map<string, corev1.Pod>;
}

export interface ManifestsOptions {
  path: string;
  nodeName: string;
  world: World;
  /** What is asked for beside the files. */
  fromUrl?: Pick<UrlManifests, "load" | "pods">;
}

export function createManifests({ path, nodeName, world, fromUrl }: ManifestsOptions): Manifests {
  const files = new Map<string, { stamp: string; pod: corev1.Pod | undefined }>();

  async function read(file: string): Promise<corev1.Pod | undefined> {
    try {
      return staticPodOf(await contentOf(file), { file, nodeName, nowMs: world.clock.now() });
    } catch (error) {
      world.log.warn({ file, error: messageOf(error) }, "this file is no static pod");
      return undefined;
    }
  }

  return {
    async load() {
      await fromUrl?.load();
      if (!path) return;
      const stamps = await stampsOf(path);
      for (const file of files.keys()) if (!stamps.has(file)) files.delete(file);
      for (const [file, stamp] of stamps)
        if (files.get(file)?.stamp !== stamp) files.set(file, { stamp, pod: await read(file) });
    },
    pods() {
      const found = new Map<string, corev1.Pod>();
      for (const { pod } of files.values())
        if (pod && !found.has(fullNameOf(pod))) found.set(fullNameOf(pod), pod);
      for (const pod of fromUrl?.pods() ?? [])
        if (!found.has(fullNameOf(pod))) found.set(fullNameOf(pod), pod);
      return found;
    },
  };
}

/** What tells a file from what it was before. */
async function stampsOf(path: string): Promise<Map<string, string>> {
  const stamps = new Map<string, string>();
  for (const file of await filesAt(path)) {
    const info = await stat(file).catch(() => undefined);
    if (info?.isFile()) stamps.set(file, `${info.ino}/${info.size}/${info.mtimeMs}`);
  }
  return stamps;
}

async function filesAt(path: string): Promise<string[]> {
  try {
    const names = (await readdir(path)).filter((name) => !name.startsWith(".")).sort();
    return names.slice(0, filesMax).map((name) => join(path, name));
  } catch (error) {
    if (codeOf(error) === "ENOTDIR") return [path];
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Throws an `Error` for what is too large to be a pod. */
async function contentOf(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const buffer = Buffer.alloc(fileMaxBytes + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
    if (length > fileMaxBytes) throw new Error(`the file has more than ${fileMaxBytes} bytes`);
    return buffer.subarray(0, length).toString("utf8");
  } finally {
    await handle.close();
  }
}
