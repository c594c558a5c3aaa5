/**
 * A link to each container's log, named so that whoever collects logs knows what they are of, in a folder that pods find
 * at `/var/log/containers`. https://kubernetes.io/docs/concepts/cluster-administration/logging/#how-nodes-handle-container-logs
 */
import { mkdir, readdir, rm, stat, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import type { corev1 } from "#api";
import { codeOf } from "#base";

export interface LogOwner {
  namespace: string;
  pod: string;
  container: string;
  id: string;
}

export function logOwnerOf({ metadata }: Readonly<corev1.Pod>, container: string, id: string): LogOwner {
  return { namespace: metadata.namespace ?? "", pod: metadata.name, container, id };
}

const suffix = ".log";
/** What file systems take for a name. */
const nameMaxBytes = 255;

export function logLinkName({ namespace, pod, container, id }: LogOwner): string {
  return `${pod}_${namespace}_${container}-${id}`.slice(0, nameMaxBytes - suffix.length) + suffix;
}

/**
 * `podLogs`: the folder of the pod's logs, beside whose parent `dir` lies; `path`: of the log in it. Relative, so that it
 * leads there from wherever both folders are seen.
 */
export async function linkLog(dir: string, owner: LogOwner, podLogs: string, path: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o755 });
  const target = join("..", "pods", basename(podLogs), path);
  await symlink(target, join(dir, logLinkName(owner))).catch((error: unknown) => {
    if (codeOf(error) !== "EEXIST") throw error;
  });
}

export async function unlinkLog(dir: string, owner: LogOwner): Promise<void> {
  await rm(join(dir, logLinkName(owner)), { force: true });
}

/** Links of logs that are gone: of pods that ended while nobody looked. */
export async function removeDeadLinks(dir: string): Promise<void> {
  for (const name of await readdir(dir).catch(() => [])) {
    const path = join(dir, name);
    const isDead = await stat(path).then(
      () => false,
      (error: unknown) => codeOf(error) === "ENOENT",
    );
    if (isDead) await rm(path, { force: true });
  }
}
