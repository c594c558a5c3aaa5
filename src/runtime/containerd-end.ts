/** The end of a containerd and of everything that runs in it. */
import { readFileSync } from "node:fs";
import { forComponent, messageOf, run, stopDaemon, type World } from "#base";
import type { ContainerRuntime } from "#contracts";
import { type ContainerdOptions, containerdPaths, startContainerd } from "./containerd.ts";
import { endShims } from "./shims.ts";

/** What containers get to end by themselves. */
const graceSeconds = 3;
/** This many pods are stopped and removed at one time. */
const podsAtOnce = 16;

/**
 * Ends every pod, then containerd. One that is dead is started first: only it knows how to end containers in order. Where
 * it cannot be started, or has lost sight of some, their shims are ended without it. Images stay.
 */
export async function stopContainerd(options: ContainerdOptions): Promise<void> {
  try {
    const containerd = await startContainerd(options);
    await endPods(options.world, containerd.runtime);
    await containerd.stop();
  } catch (error) {
    const { log } = forComponent(options.world, "containerd");
    log.warn({ error: messageOf(error) }, "containerd could not end its pods; they are killed");
  }
  // One that was found running and does not answer runs still.
  await stopDaemon(containerdPaths(options.dir).pidFile, options.world.clock);
  endShims(containerdPaths(options.dir).socket);
  await unmountBelow(options.dir);
}

/** In order: containers get a moment to end by themselves. */
export async function endPods(world: World, runtime: ContainerRuntime): Promise<void> {
  const { log } = forComponent(world, "runtime");
  const note = (what: string) => (error: unknown) => log.warn({ error: messageOf(error) }, what);
  const running = (await runtime.listContainers()).filter((c) => c.state === "CONTAINER_RUNNING");
  await Promise.all(
    running.map((c) => runtime.stopContainer(c.id, graceSeconds).catch(note("a container did not stop"))),
  );
  const sandboxes = await runtime.listPodSandboxes();
  for (let i = 0; i < sandboxes.length; i += podsAtOnce) {
    await Promise.all(
      sandboxes.slice(i, i + podsAtOnce).map(async ({ id }) => {
        await runtime.stopPodSandbox(id).catch(note("a pod did not stop"));
        await runtime.removePodSandbox(id).catch(note("a pod could not be removed"));
      }),
    );
  }
}

/** In the order in which they were mounted. */
export function mountsBelow(dir: string): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1]?.replaceAll("\\040", " ") ?? "")
    .filter((point) => point.startsWith(`${dir}/`));
}

/** Unmounts everything under `dir`, the innermost first. `dir` itself may be a disk of the user's: it stays. */
export async function unmountBelow(dir: string): Promise<void> {
  for (const point of mountsBelow(dir).reverse()) await run("umount", ["-l", point]);
}
