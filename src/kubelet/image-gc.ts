/**
 * Images that nobody uses are removed where the disk fills up, the longest unused first, or when they are too old. One
 * that came from no registry stays: nobody could pull it again.
 * https://kubernetes.io/docs/concepts/architecture/garbage-collection/#container-image-lifecycle
 */
import { messageOf } from "#base";
import type { Image } from "#contracts";
import type { KubeletConfig } from "./config/settings.ts";
import { pruneImageRecords } from "./image-records.ts";
import type { PodContext } from "./pod-context.ts";
import { disksOf } from "./stats/observation.ts";

type Policy = Pick<
  KubeletConfig,
  "imageGcHighPercent" | "imageGcLowPercent" | "imageGcMinAgeMs" | "imageGcMaxAgeMs"
>;

export interface ImageRecord {
  image: Image;
  detectedMs: number;
  usedMs: number;
  isUsed: boolean;
}

/** Brings up to date what is known of each image. Pure. */
export function recorded(
  known: ReadonlyMap<string, ImageRecord>,
  images: readonly Image[],
  used: ReadonlySet<string>,
  nowMs: number,
): Map<string, ImageRecord> {
  return new Map(
    images.map((image) => {
      const before = known.get(image.id);
      const isUsed = [image.id, ...image.repoTags, ...image.repoDigests].some((name) => used.has(name));
      const usedMs = isUsed ? nowMs : (before?.usedMs ?? 0);
      return [image.id, { image, detectedMs: before?.detectedMs ?? nowMs, usedMs, isUsed }];
    }),
  );
}

/** Those that may go, in the order in which they go. Pure. */
export function removable(
  records: Iterable<ImageRecord>,
  policy: Pick<Policy, "imageGcMinAgeMs">,
  nowMs: number,
): ImageRecord[] {
  return [...records]
    .filter(({ image, isUsed }) => !isUsed && !image.pinned && image.repoDigests.length > 0)
    .filter(({ detectedMs }) => nowMs - detectedMs >= policy.imageGcMinAgeMs)
    .toSorted((a, b) => a.usedMs - b.usedMs || a.detectedMs - b.detectedMs);
}

/** How much has to go before the disk is used less than the lower share; 0: nothing. Pure. */
export function bytesToFree(disk: { capacityBytes: number; availableBytes: number }, policy: Policy): number {
  const { capacityBytes, availableBytes } = disk;
  if (capacityBytes === 0) return 0;
  const usedPercent = 100 - Math.floor((availableBytes * 100) / capacityBytes);
  if (policy.imageGcHighPercent >= 100 || usedPercent < policy.imageGcHighPercent) return 0;
  return Math.max(0, Math.floor((capacityBytes * (100 - policy.imageGcLowPercent)) / 100) - availableBytes);
}

export interface ImageCollector {
  /** Notes which images are there and used: their age counts from then. */
  detect(): Promise<void>;
  /** As the disk and the images' age ask for it. */
  collect(): Promise<void>;
  /** Every image that may go; answers how many bytes went. */
  removeUnused(): Promise<number>;
}

export interface ImageCollectorOptions {
  context: PodContext;
  policy: Policy;
  diskPath: string;
  /** Names of images that are used though no container tells so: those of volumes, and of sandboxes. */
  usedBeside(): Iterable<string>;
  /** Says on the node what could not be done. */
  warn(reason: string, message: string): void;
}

export function createImageCollector(options: ImageCollectorOptions): ImageCollector {
  const { context, policy } = options;
  const { clock, log } = context.world;
  let known = new Map<string, ImageRecord>();
  let startedMs: number | undefined;

  async function look(): Promise<Map<string, ImageRecord>> {
    const [images, containers] = await Promise.all([
      context.runtime.listImages(),
      context.runtime.listContainers(),
    ]);
    const used = new Set(options.usedBeside());
    for (const { image, imageRef } of containers) used.add(imageRef).add(image.image);
    known = recorded(known, images, used, clock.now());
    return known;
  }

  async function remove(records: readonly ImageRecord[], enoughBytes: number): Promise<number> {
    let freed = 0;
    for (const { image } of records) {
      if (freed >= enoughBytes) break;
      try {
        await context.runtime.removeImage(image.id);
        known.delete(image.id);
        freed += image.size;
        log.info({ image: image.repoTags[0] ?? image.id, bytes: image.size }, "an unused image was removed");
      } catch (error) {
        log.warn({ image: image.id, error: messageOf(error) }, "an image could not be removed");
      }
    }
    return freed;
  }

  async function removeOld(records: Iterable<ImageRecord>, nowMs: number): Promise<void> {
    // What was used before this kubelet started is not known: it waits a whole age.
    if (policy.imageGcMaxAgeMs === 0 || nowMs - startedMs! < policy.imageGcMaxAgeMs) return;
    const old = removable(records, policy, nowMs).filter(
      ({ usedMs, detectedMs }) => nowMs - Math.max(usedMs, detectedMs) > policy.imageGcMaxAgeMs,
    );
    await remove(old, Number.POSITIVE_INFINITY);
  }

  return {
    async detect() {
      await pruneImageRecords(context.paths.imageRecords, [...(await look()).keys()]);
    },
    async collect() {
      const nowMs = clock.now();
      startedMs ??= nowMs;
      await removeOld((await look()).values(), nowMs);
      const wanted = bytesToFree((await disksOf(context, options.diskPath)).image, policy);
      if (wanted === 0) return;
      const freed = await remove(removable(known.values(), policy, nowMs), wanted);
      if (freed < wanted)
        options.warn(
          "FreeDiskSpaceFailed",
          `Failed to garbage collect required amount of images. Attempted to free ${wanted} bytes, but only found ${freed} bytes eligible to free.`,
        );
    },
    async removeUnused() {
      const records = await look();
      return remove(removable(records.values(), policy, clock.now()), Number.POSITIVE_INFINITY);
    },
  };
}
