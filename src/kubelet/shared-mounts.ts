/**
 * What is mounted on one side is seen on the other only where the mount below it is shared.
 * https://kubernetes.io/docs/concepts/storage/volumes/#mount-propagation
 */

/** Whether mounts made later under `path` would reach others: the runtime refuses to follow a private mount. */
export function isSharedMount(mountInfo: string, path: string): boolean {
  let best = "";
  let shared = false;
  for (const line of mountInfo.split("\n")) {
    const [fields = ""] = line.split(" - ");
    const [, , , , point = "", , ...tags] = fields.split(" ");
    const holds = point === "/" || path === point || path.startsWith(`${point}/`);
    if (!point || !holds || point.length < best.length) continue;
    best = point;
    shared = tags.some((t) => t.startsWith("shared:") || t.startsWith("master:"));
  }
  return shared;
}
