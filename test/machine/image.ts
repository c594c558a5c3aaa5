/**
 * The disks of a test's machine: a Debian as its installer would leave it, made of Debian's packages once and kept, and Knarr
 * as its npm package holds it with the Node that it runs on.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "#base";
import { installPackages } from "#distro";

const root = join(import.meta.dirname, "../..");

/** Debian's releases by the names that its tools take. */
export type Release = "bookworm" | "trixie";

export interface MachineImage {
  kernel: string;
  initrd: string;
  /** A raw ext4 file system: the root. */
  disk: string;
  /** The private key that root of the machine lets in. */
  key: string;
}

/** What `knarr up` would install by itself where a machine has a network, and servers of disks beside it. */
const packages = [
  ...["linux-image-cloud-amd64", "systemd-sysv", "dbus", "libpam-systemd", "apparmor", "kmod", "procps"],
  ...["iproute2", "openssh-server", "ca-certificates", "e2fsprogs", "busybox-static", "libatomic1"],
  ...["containerd", "runc", "crun", "containernetworking-plugins", "nftables", "conntrack", "haproxy"],
  ...["nfs-kernel-server", "nfs-common", "tgt", "open-iscsi", "wireguard-tools"],
];

/** One interface, as qemu's own network has it, and no service that would start containers beside Knarr. */
const settings: Record<string, string> = {
  "etc/hostname": "debian\n",
  "etc/hosts": "127.0.0.1 localhost\n10.0.2.15 debian\n",
  "etc/fstab": "LABEL=knarr /opt/knarr ext4 ro 0 0\n",
  "etc/systemd/network/wired.network":
    "[Match]\nName=en*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n",
  "etc/profile.d/knarr.sh": "export PATH=/opt/knarr:/opt/knarr/node:$PATH\n",
  "etc/ssh/sshd_config.d/knarr.conf": "PermitRootLogin prohibit-password\nUseDNS no\n",
};
const diskSize = "8G";

export async function machineImage(release: Release): Promise<MachineImage> {
  const recipe = createHash("sha256")
    .update(JSON.stringify([release, packages, settings, diskSize]))
    .digest("hex");
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "knarr");
  const dir = join(cache, `machine-${release}-${recipe.slice(0, 12)}`);
  if (!existsSync(dir)) {
    await mkdir(cache, { recursive: true });
    const fresh = await mkdtemp(`${dir}.`);
    await makeImage(release, fresh);
    await rename(fresh, dir);
  }
  return {
    kernel: join(dir, "vmlinuz"),
    initrd: join(dir, "initrd"),
    disk: join(dir, "disk"),
    key: join(dir, "key"),
  };
}

async function makeImage(release: Release, dir: string): Promise<void> {
  await installPackages(["mmdebstrap", "e2fsprogs", "openssh-client"]);
  const tree = join(dir, "tree");
  const include = `--include=${packages.join(",")}`;
  await runOk("mmdebstrap", ["--variant=minbase", include, release, tree], { timeoutMs: 900_000 });
  const boot = await readdir(join(tree, "boot"));
  for (const [prefix, name] of [
    ["vmlinuz-", "vmlinuz"],
    ["initrd.img-", "initrd"],
  ] as const)
    await cp(join(tree, "boot", boot.find((file) => file.startsWith(prefix)) ?? prefix), join(dir, name));
  await runOk("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(dir, "key")]);
  const files = { ...settings, "root/.ssh/authorized_keys": await readFile(join(dir, "key.pub"), "utf8") };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(tree, path, ".."), { recursive: true });
    await writeFile(join(tree, path), text);
  }
  await chmod(join(tree, "root/.ssh"), 0o700);
  await mkdir(join(tree, "opt/knarr"), { recursive: true });
  const units = ["systemd-networkd", "ssh"];
  await runOk("chroot", [tree, "systemctl", "enable", ...units]);
  await runOk("chroot", [
    tree,
    "systemctl",
    "disable",
    "containerd",
    "haproxy",
    "nftables",
    "tgt",
    "nfs-server",
  ]);
  await runOk("mkfs.ext4", ["-q", "-d", tree, "-L", "root", join(dir, "disk"), diskSize], {
    timeoutMs: 300_000,
  });
  await rm(tree, { recursive: true });
}

const copying = { recursive: true, verbatimSymlinks: true, filter: (path: string) => !path.endsWith(".map") };

/** The disk with Knarr: what its npm package has, and Node beside it. The caller removes the file. */
export async function programDisk(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "knarr-disk-"));
  try {
    const tree = join(dir, "tree");
    for (const name of ["bin", "dist", "examples", "package.json", "knarr"])
      await cp(join(root, name), join(tree, name), { ...copying });
    await mkdir(join(tree, "node"));
    await cp(process.execPath, join(tree, "node/node"));
    await runOk("mkfs.ext4", ["-q", "-d", tree, "-L", "knarr", join(dir, "disk"), "2G"], {
      timeoutMs: 300_000,
    });
    await rm(tree, { recursive: true });
    return join(dir, "disk");
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}
