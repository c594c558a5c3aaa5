/** Looks at the machine before anything is started, and says of each thing that is missing how to mend it. */
import { existsSync, readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { findProgram, run, UserError } from "#base";
import { cniBinDirs } from "#runtime";

/** One thing that is not as it must be. `packages`: Debian's, which `knarr up` installs by itself. */
export interface Finding {
  problem: string;
  mend: string;
  packages?: readonly string[];
}

/** Programs by the package that brings them. */
const programs: Record<string, string> = {
  containerd: "containerd",
  ctr: "containerd",
  runc: "runc",
  nft: "nftables",
  conntrack: "conntrack",
  mount: "mount",
  ip: "iproute2",
};

/** Those of a container runtime of our own. */
const runtimePackages: ReadonlySet<string> = new Set(["containerd", "runc"]);

const cniPlugins = ["ptp", "host-local", "loopback"];

/** Less than this and the first image pull fills the disk. */
const diskMinBytes = 1024 * 1024 * 1024;
const inotifyInstancesMin = 128;

/** Everything that keeps real containers from running here; empty when all is well. `hasRuntime`: the machine brings one. */
export async function preflight(dataDir: string, hasRuntime = false): Promise<Finding[]> {
  if (process.platform !== "linux") {
    return [
      { problem: `containers cannot run on ${process.platform}`, mend: "use Linux, or: knarr up --simulate" },
    ];
  }
  if (process.getuid?.() !== 0) {
    return [
      {
        problem: "containers need root",
        mend: "sudo ./knarr up, or without containers: ./knarr up --simulate",
      },
    ];
  }
  return [...missingPackages(hasRuntime), ...(await kernelFindings()), ...(await diskFindings(dataDir))];
}

function missingPackages(hasRuntime: boolean): Finding[] {
  const packages = new Set<string>();
  for (const [program, name] of Object.entries(programs)) {
    if (hasRuntime && runtimePackages.has(name)) continue;
    if (!findProgram(program)) packages.add(name);
  }
  const haveCni = cniBinDirs.some((dir) => cniPlugins.every((plugin) => existsSync(`${dir}/${plugin}`)));
  if (!haveCni) packages.add("containernetworking-plugins");
  if (packages.size === 0) return [];
  const list = [...packages].sort();
  return [
    { problem: `missing: ${list.join(", ")}`, mend: `apt-get install ${list.join(" ")}`, packages: list },
  ];
}

/** Debian's packages without which everything but one feature works. */
export function missingExtras(): string[] {
  return findProgram("haproxy") ? [] : ["haproxy"];
}

/** What `--backend wireguard` needs beside. */
export function missingForWireguard(): string[] {
  return findProgram("wg") ? [] : ["wireguard-tools"];
}

async function kernelFindings(): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (!existsSync("/sys/fs/cgroup/cgroup.controllers") && !existsSync("/sys/fs/cgroup/memory")) {
    findings.push({
      problem: "no cgroups are mounted on /sys/fs/cgroup",
      mend: "mount -t cgroup2 none /sys/fs/cgroup",
    });
  }
  if (!(await hasOverlay())) {
    findings.push({
      problem: "the kernel has no overlay file system, and modprobe brings none",
      mend: "modprobe overlay tells why",
    });
  }
  const instances = Number(readFileSync("/proc/sys/fs/inotify/max_user_instances", "utf8"));
  if (instances < inotifyInstancesMin) {
    findings.push({
      problem: `only ${instances} inotify instances are allowed: pods will fail with «too many open files»`,
      mend: "sysctl fs.inotify.max_user_instances=8192",
    });
  }
  return findings;
}

/** Debian's kernel has it as a module, which nothing loads before the first container: there it is loaded. */
async function hasOverlay(): Promise<boolean> {
  const isThere = () => /\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8"));
  if (!isThere() && findProgram("modprobe")) await run("modprobe", ["overlay"]);
  return isThere();
}

async function diskFindings(dataDir: string): Promise<Finding[]> {
  let dir = dataDir;
  while (!existsSync(dir)) dir = dir.slice(0, dir.lastIndexOf("/")) || "/";
  const { bavail, bsize } = await statfs(dir);
  if (bavail * bsize >= diskMinBytes) return [];
  const free = Math.floor((bavail * bsize) / 1024 / 1024);
  return [
    {
      problem: `only ${free} MB are free in ${dir}`,
      mend: "free at least 1 GB, or choose another --data-dir",
    },
  ];
}

/** Installs Debian packages without starting their services. Throws a `UserError` with apt's own words. */
export async function installPackages(packages: readonly string[]): Promise<void> {
  if (!findProgram("apt-get")) {
    throw new UserError(
      `missing: ${packages.join(", ")}, and this machine has no apt-get`,
      "install them with this system's own package manager",
    );
  }
  // Runlevel 1 keeps invoke-rc.d from starting the host's own containerd: Knarr runs a private one.
  const env = { DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const install = () =>
    run("apt-get", ["install", "-y", "--no-install-recommends", ...packages], { env, timeoutMs: 600_000 });
  let result = await install();
  if (result.code !== 0) {
    // A fresh machine has no package lists yet, or old ones.
    await run("apt-get", ["update"], { env, timeoutMs: 600_000 });
    result = await install();
  }
  if (result.code !== 0) {
    const words = result.stderr.trim().split("\n").slice(-3).join("\n");
    throw new UserError(
      `apt-get could not install ${packages.join(", ")}:\n${words}`,
      "check the machine's apt sources, then try again",
    );
  }
}
