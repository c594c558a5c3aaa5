/** `knarr image load|ls|rm`: images on the node, without a registry. */
import { existsSync } from "node:fs";
import { createWorld, silentLogger, systemClock, UserError } from "#base";
import {
  buildFromFile,
  type ClusterPaths,
  checkName,
  listImages,
  loadImages,
  localNodesOf,
  makeBusyboxImage,
  pathsOf,
  readConfig,
  removeImages,
} from "#distro";
import { parseFormat, print, step, table } from "../output.ts";

interface ImageOptions {
  name: string;
  dataDir?: string;
}

const world = createWorld({ log: silentLogger });

function open(options: ImageOptions) {
  checkName(options.name);
  return pathsOf(options.name, options.dataDir);
}

/** The folders of every node on this machine: an image is there wherever its pods may go. */
function openAll(options: ImageOptions): ClusterPaths[] {
  const paths = open(options);
  const config = readConfig(paths);
  const further = config?.role === "server" ? localNodesOf(config, paths) : [];
  return [paths, ...further.map((node) => node.paths)];
}

/** The answer of the first node. */
async function onAll<T>(options: ImageOptions, work: (paths: ClusterPaths) => Promise<T>): Promise<T> {
  const [first, ...others] = openAll(options).map(work);
  await Promise.all(others);
  return first!;
}

export async function imageLoad(files: readonly string[], options: ImageOptions): Promise<void> {
  open(options);
  const missing = files.find((file) => !existsSync(file));
  if (missing)
    throw new UserError(
      `${missing}: no such file`,
      "give docker-archive or OCI archive files (docker save, buildah push oci-archive:)",
    );
  for (const file of files) {
    const names = await step(systemClock, `loading ${file}`, `loaded ${file}`, () =>
      onAll(options, (paths) => loadImages(world, options.name, paths, file)),
    );
    for (const name of names) print(`  ${name}`);
  }
}

export async function imageBusybox(image: string, options: ImageOptions): Promise<void> {
  const names = await step(systemClock, `making ${image}`, `made ${image} from this machine's busybox`, () =>
    onAll(options, (paths) => makeBusyboxImage(world, options.name, paths, image)),
  );
  for (const name of names) print(`  ${name}`);
}

export async function imageBuild(
  context: string,
  options: ImageOptions & { tag: string; file?: string; buildArg?: string[] },
): Promise<void> {
  const first = open(options);
  const request = { context, file: options.file, tag: options.tag, buildArgs: options.buildArg ?? [] };
  const names = await step(systemClock, `building ${options.tag}`, `built ${options.tag}`, () =>
    buildFromFile(world, options.name, first, request, (archive) =>
      onAll(options, (paths) => loadImages(world, options.name, paths, archive)),
    ),
  );
  for (const name of names) print(`  ${name}`);
}

const bytesPerMegabyte = 1_000_000;

export async function imageList(options: ImageOptions & { output: string }): Promise<void> {
  const format = parseFormat(options.output);
  const images = await listImages(world, options.name, open(options));
  const items = images.flatMap((image) =>
    (image.repoTags.length > 0 ? image.repoTags : image.repoDigests).map((name) => ({
      name,
      id: image.id,
      sizeBytes: image.size,
    })),
  );
  if (format === "json") return print(JSON.stringify({ items }, null, 2));
  const rows = items.map((i) => [
    i.name,
    i.id.replace("sha256:", "").slice(0, 12),
    `${(i.sizeBytes / bytesPerMegabyte).toFixed(1)} MB`,
  ]);
  print(table(["IMAGE", "ID", "SIZE"], rows));
}

export async function imageRemove(names: readonly string[], options: ImageOptions): Promise<void> {
  for (const name of names) {
    await onAll(options, (paths) => removeImages(world, options.name, paths, name));
    print(`removed ${name}`);
  }
}
