/** `knarr image load|ls|rm`: images on the node, without a registry. */
import { existsSync } from "node:fs";
import { createWorld, silentLogger, systemClock, UserError } from "#base";
import { checkName, listImages, loadImages, makeBusyboxImage, pathsOf, removeImages } from "#distro";
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

export async function imageLoad(files: readonly string[], options: ImageOptions): Promise<void> {
  const paths = open(options);
  const missing = files.find((file) => !existsSync(file));
  if (missing)
    throw new UserError(
      `${missing}: no such file`,
      "give docker-archive or OCI archive files (docker save, buildah push oci-archive:)",
    );
  for (const file of files) {
    const names = await step(systemClock, `loading ${file}`, `loaded ${file}`, () =>
      loadImages(world, options.name, paths, file),
    );
    for (const name of names) print(`  ${name}`);
  }
}

export async function imageBusybox(image: string, options: ImageOptions): Promise<void> {
  const paths = open(options);
  const names = await step(systemClock, `making ${image}`, `made ${image} from this machine's busybox`, () =>
    makeBusyboxImage(world, options.name, paths, image),
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
  const paths = open(options);
  for (const name of names) {
    await removeImages(world, options.name, paths, name);
    print(`removed ${name}`);
  }
}
