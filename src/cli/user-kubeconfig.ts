/** The kubeconfig of whoever runs the command line, under sudo that of the person who called it. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { type ClusterPaths, editKubeconfig, mergeKubeconfig, type Owner, unmergeKubeconfig } from "#distro";

interface User {
  home: string;
  owner: Owner | undefined;
}

/** sudo names its caller; that one's home stands in /etc/passwd. */
function user(): User {
  const { SUDO_UID, SUDO_GID } = process.env;
  if (process.getuid?.() !== 0 || !SUDO_UID || !SUDO_GID) return { home: homedir(), owner: undefined };
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.split(":")[2] === SUDO_UID);
  const home = line?.split(":")[5];
  return home
    ? { home, owner: { uid: Number(SUDO_UID), gid: Number(SUDO_GID) } }
    : { home: homedir(), owner: undefined };
}

/** The first file of KUBECONFIG, else `.kube/config` in the user's home. */
function kubeconfigPath(home: string): string {
  return process.env.KUBECONFIG?.split(delimiter).find(Boolean) ?? join(home, ".kube", "config");
}

/** Puts the cluster in and makes it current. Answers the file's path. */
export async function mergeIntoUserKubeconfig(paths: ClusterPaths): Promise<string> {
  const { home, owner } = user();
  const path = kubeconfigPath(home);
  const own = await readFile(paths.kubeconfig, "utf8");
  await editKubeconfig(path, (existing) => mergeKubeconfig(existing, own), owner);
  return path;
}

/** Takes the cluster out again. */
export async function removeFromUserKubeconfig(name: string): Promise<void> {
  const { home, owner } = user();
  await editKubeconfig(kubeconfigPath(home), (existing) => unmergeKubeconfig(existing, name), owner);
}
