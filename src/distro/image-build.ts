/**
 * Images from a Containerfile, by buildah: its storage lies in the cluster's folder, and what the node has already may be
 * built upon without a registry. https://github.com/containers/buildah
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { findProgram, run, UserError, type World } from "#base";
import { isReference, normalizeReference } from "#contracts";
import { unmountBelow } from "#runtime";
import type { ClusterPaths } from "./config.ts";
import { exportImage, listImages } from "./images.ts";

export interface BuildRequest {
  /** The folder that `COPY` sees. */
  context: string;
  /** Default: `Containerfile` or `Dockerfile` of the context. */
  file?: string | undefined;
  /** The image's name. */
  tag: string;
  /** `NAME=value`. */
  buildArgs: readonly string[];
}

const fileMaxBytes = 1024 * 1024;
const buildTimeoutMs = 60 * 60_000;
const wordsMax = 15;

/** The images that a Containerfile builds upon, but for its own stages and what only a build knows. Pure. */
export function baseImages(containerfile: string): string[] {
  const stages = new Set<string>();
  const bases = new Set<string>();
  for (const line of containerfile.split("\n")) {
    const [instruction = "", ...rest] = line.trim().split(/\s+/);
    if (instruction.toUpperCase() !== "FROM") continue;
    const [image = "", as = "", stage = ""] = rest.filter((word) => !word.startsWith("--"));
    if (image !== "scratch" && !stages.has(image) && isReference(image)) bases.add(image);
    if (as.toUpperCase() === "AS") stages.add(stage);
  }
  return [...bases];
}

function fileOf({ context, file }: BuildRequest): string {
  const choices = file ? [file] : ["Containerfile", "Dockerfile"].map((name) => join(context, name));
  const found = choices.find((each) => existsSync(each));
  if (!found)
    throw new UserError(
      `${choices.join(", ")}: no such file`,
      "name a Containerfile with --file, and its folder",
    );
  return found;
}

function check({ context, tag }: BuildRequest): void {
  if (!findProgram("buildah"))
    throw new UserError("images are built by buildah, which is not installed", "apt-get install buildah");
  if (!existsSync(context))
    throw new UserError(`${context}: no such folder`, "name the folder to build from");
  if (!isReference(tag)) throw new UserError(`"${tag}" is no name of an image`, "name it like --tag web:1");
}

/** buildah's own words where it fails. */
async function buildah(storage: readonly string[], args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await run("buildah", [...storage, ...args], { timeoutMs: buildTimeoutMs });
  if (code === 0) return;
  const words = (stderr.trim() || stdout.trim()).split("\n").slice(-wordsMax).join("\n");
  throw new UserError(`buildah ${args[0]} failed:\n${words}`, "mend what it says, and build again");
}

/** What is on the node needs no registry. */
async function bringBases(
  world: World,
  name: string,
  paths: ClusterPaths,
  storage: readonly string[],
  bases: readonly string[],
  file: string,
): Promise<void> {
  if (bases.length === 0) return;
  const images = await listImages(world, name, paths);
  const present = new Set(images.flatMap(({ repoTags, repoDigests }) => [...repoTags, ...repoDigests]));
  for (const base of bases.map(normalizeReference)) {
    if (!present.has(base)) continue;
    await exportImage(world, name, paths, base, file);
    await buildah(storage, ["pull", "--quiet", `docker-archive:${file}`]);
    await rm(file, { force: true });
  }
}

/** Hands the archive of the image that was built to `load`, and answers what that answers. Throws `UserError`. */
export async function buildFromFile<T>(
  world: World,
  name: string,
  paths: ClusterPaths,
  request: BuildRequest,
  load: (archive: string) => Promise<T>,
): Promise<T> {
  check(request);
  const file = fileOf(request);
  const text = readFileSync(file, "utf8").slice(0, fileMaxBytes);
  const dir = join(paths.dir, "builds");
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const storage = [
    "--root",
    join(dir, "storage"),
    "--runroot",
    join(dir, "run"),
    "--storage-driver",
    "overlay",
  ];
  const archive = join(dir, `${world.random.suffix(8)}.tar`);
  const tag = normalizeReference(request.tag);
  try {
    await bringBases(world, name, paths, storage, baseImages(text), archive);
    const buildArgs = request.buildArgs.flatMap((each) => ["--build-arg", each]);
    const how = [
      "--pull=false",
      "--isolation",
      "chroot",
      "--no-cache",
      "--force-rm",
      "--file",
      file,
      "--tag",
      tag,
    ];
    await buildah(storage, ["build", ...how, ...buildArgs, request.context]);
    await buildah(storage, ["push", "--quiet", tag, `docker-archive:${archive}:${tag}`]);
    return await load(archive);
  } finally {
    await rm(archive, { force: true });
    // buildah leaves its storage mounted.
    await unmountBelow(dir);
  }
}
