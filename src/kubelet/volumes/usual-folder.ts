/**
 * `/var/lib/kubelet` is where drivers, device plugins and monitors expect the folder of a kubelet, and `/var/log` is where
 * collectors expect the logs of pods: it is what their pods ask for as paths of the host. Here each node has folders of its
 * own: pods are given those, whoever else is on the machine, and drivers are told paths as they know them.
 */
import { join } from "node:path";

const usual = "/var/lib/kubelet";
const usualLogs = "/var/log";
/** What of a node lies in its folder of logs. https://kubernetes.io/docs/concepts/cluster-administration/logging/ */
const logFolders = ["pods", "containers"] as const;
/** Folders that hold more than the logs of pods: they are the machine's, with this node's logs in them. */
const aboveLogs = [usualLogs, "/var"];

/** Made where they are not, for pods that ask for what is above them; they stay empty. */
export const machineLogFolders = logFolders.map((name) => join(usualLogs, name));

export interface OwnFolders {
  /** The kubelet's. */
  dataDir: string;
  /** With `pods` and `containers`. */
  logDir: string;
}

function moved(path: string, from: string, to: string): string {
  return path === from || path.startsWith(`${from}/`) ? to + path.slice(from.length) : path;
}

/** Where on the machine a path lies that a pod knows. */
export const fromUsual = (path: string, own: string) => moved(path, usual, own);

/** As whoever has been given the folder at its usual place knows it. */
export const toUsual = (path: string, own: string) => moved(path, own, usual);

export const isUsual = (path: string) => path.startsWith(`${usual}/`);

/** Where on the machine a path of the host lies that a pod asks for. */
export function hostPathOf(path: string, { dataDir, logDir }: OwnFolders): string {
  const folders = logFolders.map((name) => [join(usualLogs, name), join(logDir, name)] as const);
  return folders.reduce((at, [from, to]) => moved(at, from, to), fromUsual(path, dataDir));
}

/** What has to be seen within a path of the host: `at` is where on the machine, `within` where in the volume. */
export function ownWithin(
  path: string,
  { logDir }: OwnFolders,
): { at: string; within: string; path: string }[] {
  const above = path.replace(/\/+$/, "");
  if (!aboveLogs.includes(above)) return [];
  return logFolders.map((name) => {
    const at = join(usualLogs, name);
    return { at, within: at.slice(above.length + 1), path: join(logDir, name) };
  });
}
