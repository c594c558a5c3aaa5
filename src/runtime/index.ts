export {
  type Containerd,
  type ContainerdOptions,
  cniBinDirs,
  containerdPaths,
  findContainerd,
  startContainerd,
} from "./containerd.ts";
export { mountsBelow, stopContainerd, unmountBelow } from "./containerd-end.ts";
export { connectRuntime, type RuntimeConnection } from "./cri-client.ts";
export { connectForeignRuntime, endForeignPods, type NodeRuntime, socketPathOf } from "./foreign-runtime.ts";
export {
  buildImage,
  busyboxLayer,
  type ImageConfig,
  type ImageSource,
  type LayerFile,
} from "./image-builder.ts";
export type { ImageStore } from "./images.ts";
export { openImages } from "./open-images.ts";
export { pauseImage, pauseImageName } from "./pause-image.ts";
