/**
 * Where another network's agent (Flannel, Calico, Cilium …) puts its configuration and its programs, as it expects of any
 * node: `knarr up --cni none`. https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, readlink, rename, rm, rmdir, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { enableForwarding } from "./forwarding.ts";

/** The file of our own network. */
export const cniConfigName = "10-knarr.conflist";

export const foreignCni = { confDir: "/etc/cni/net.d", binDir: "/opt/cni/bin" } as const;

/** Idempotent. Debian's own plugins are there too: the loopback link of every pod needs one. */
export async function openForeignCni(
  standardDirs: readonly string[],
  families: readonly ("ip" | "ip6")[],
): Promise<void> {
  const { confDir, binDir } = foreignCni;
  await enableForwarding(families);
  await mkdir(confDir, { recursive: true });
  await mkdir(binDir, { recursive: true });
  for (const dir of standardDirs) {
    if (dir === binDir || !existsSync(dir)) continue;
    for (const name of await readdir(dir))
      if (!existsSync(join(binDir, name))) await symlink(join(dir, name), join(binDir, name));
  }
}

/**
 * Shows the machine's own runtime our network: a link to its file. It is put there by a rename, each time anew: that is what
 * every runtime takes for news (containerd does not look at what is created).
 */
export async function lendCniConfig(clusterName: string, ownConfDir: string): Promise<void> {
  const link = join(foreignCni.confDir, `10-knarr-${clusterName}.conflist`);
  await rm(`${link}.new`, { force: true });
  await symlink(join(ownConfDir, cniConfigName), `${link}.new`);
  await rename(`${link}.new`, link);
}

/** What others have put there stays. `ownConfDir`: what lies there was lent. */
export async function closeForeignCni(standardDirs: readonly string[], ownConfDir: string): Promise<void> {
  const { confDir, binDir } = foreignCni;
  for (const name of await readdir(binDir).catch(() => [])) {
    const target = await readlink(join(binDir, name)).catch(() => "");
    if (standardDirs.includes(dirname(target))) await rm(join(binDir, name));
  }
  for (const name of await readdir(confDir).catch(() => [])) {
    const target = await readlink(join(confDir, name)).catch(() => "");
    if (dirname(target) === ownConfDir) await rm(join(confDir, name));
  }
  for (const dir of [binDir, dirname(binDir), confDir, dirname(confDir)]) await rmdir(dir).catch(() => {});
}
