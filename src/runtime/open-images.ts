/** The images of a containerd that somebody else supervises: for the command line beside a running agent. */
import type { World } from "#base";
import { containerdPaths } from "./containerd.ts";
import { connectRuntime } from "./cri-client.ts";
import { type ImageStore, imageStore } from "./images.ts";

/** `dir` is the containerd's folder. `close` ends the connection only. */
export function openImages(world: World, dir: string): ImageStore & { close(): void } {
  const paths = containerdPaths(dir);
  const runtime = connectRuntime({ socketPath: paths.socket, clock: world.clock });
  const store = imageStore({
    socketPath: paths.socket,
    runtime,
    clock: world.clock,
    scratchDir: paths.scratch,
  });
  return { ...store, close: () => runtime.close() };
}
