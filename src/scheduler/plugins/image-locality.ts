/**
 * ImageLocality: prefers nodes that have the pod's images. An image that every node has draws more than one that a
 * single node has: pods must not heap up there.
 */

import { defineSchedulerPlugin, scoreMax } from "../define-plugin.ts";
import type { NodeInfo } from "../node-info.ts";

const mebibyte = 1024 * 1024;
/** Below this, having the images counts for nothing; above so much a container, for everything. */
const imageBytesMin = 23 * mebibyte;
const imageBytesMax = 1000 * mebibyte;

interface ImageWishes {
  images: readonly { name: string; spread: number }[];
  containers: number;
}

function withTag(image: string): string {
  return image.lastIndexOf(":") > image.lastIndexOf("/") || image.includes("@") ? image : `${image}:latest`;
}

function bytesOn(node: NodeInfo, name: string): number {
  return node.images.get(name) ?? 0;
}

export const imageLocality = defineSchedulerPlugin<ImageWishes>({
  name: "ImageLocality",
  local: true,
  wakes: [],
  prepareScore({ pod }, _feasible, snapshot) {
    const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
    const images = containers
      .map((container) => withTag(container.image ?? ""))
      .map((name) => ({ name, spread: snapshot.nodesWithImage(name) / snapshot.nodes.length }))
      .filter(({ spread }) => spread > 0);
    return images.length > 0 ? { images, containers: containers.length } : undefined;
  },
  score(_info, node, { images, containers }) {
    const bytes = images.reduce((sum, { name, spread }) => sum + Math.floor(bytesOn(node, name) * spread), 0);
    const max = imageBytesMax * containers;
    const bounded = Math.min(max, Math.max(imageBytesMin, bytes));
    return Math.floor((scoreMax * (bounded - imageBytesMin)) / (max - imageBytesMin));
  },
});
