/**
 * containerd's configuration, as a pure function of the version found and of what the machine has.
 * https://github.com/containerd/containerd/blob/main/docs/cri/config.md
 */

export type OciRuntime = "crun" | "runc";

export interface ContainerdSettings {
  /** Major and minor, as `containerd --version` says. */
  version: [number, number];
  rootDir: string;
  stateDir: string;
  socketPath: string;
  sandboxImage: string;
  cniConfDir: string;
  cniBinDirs: readonly string[];
  registryConfigDir: string;
  /** What runs containers: the first where nobody says otherwise, the others by a RuntimeClass. */
  runtimes: readonly OciRuntime[];
  streamAddress: string;
  hasAppArmor: boolean;
  /** The kernel limits huge pages here. */
  hasHugetlb: boolean;
}

type Value = string | number | boolean | readonly string[];
interface Table {
  [key: string]: Value | Table;
}

/** TOML of nested tables; enough for what stands below. */
export function toToml(table: Table, path: readonly string[] = []): string {
  const plain: string[] = [];
  const nested: string[] = [];
  for (const [key, value] of Object.entries(table)) {
    const name = /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key);
    if (typeof value === "object" && !Array.isArray(value))
      nested.push(toToml(value as Table, [...path, name]));
    else plain.push(`${name} = ${JSON.stringify(value)}`);
  }
  const head = path.length && plain.length ? [`[${path.join(".")}]`] : [];
  return [...head, ...plain, ...nested].join("\n");
}

/** The parts of the CRI plugin that kept their names through all versions. */
function runtimeTable(s: ContainerdSettings): Table {
  return {
    restrict_oom_score_adj: true,
    disable_apparmor: !s.hasAppArmor,
    disable_hugetlb_controller: !s.hasHugetlb,
    tolerate_missing_hugetlb_controller: true,
    netns_mounts_under_state_dir: true,
    containerd: {
      default_runtime_name: s.runtimes[0] ?? "runc",
      runtimes: Object.fromEntries(
        s.runtimes.map((name) => [
          name,
          {
            runtime_type: "io.containerd.runc.v2",
            options: { BinaryName: name, SystemdCgroup: false },
          },
        ]),
      ),
    },
  };
}

function streaming(s: ContainerdSettings): Table {
  return { disable_tcp_service: true, stream_server_address: s.streamAddress, stream_server_port: "0" };
}

/** Up to 1.7 the whole of CRI is one plugin. */
function onePlugin(s: ContainerdSettings): Table {
  const runtime = runtimeTable(s);
  return {
    "io.containerd.grpc.v1.cri": {
      sandbox_image: s.sandboxImage,
      ...streaming(s),
      ...runtime,
      containerd: { ...(runtime.containerd as Table), snapshotter: "overlayfs" },
      cni: { bin_dir: s.cniBinDirs[0] ?? "/opt/cni/bin", conf_dir: s.cniConfDir },
      registry: { config_path: s.registryConfigDir },
    },
  };
}

/** From 2.0 on images and runtime are plugins of their own, and the old name keeps the streaming server. */
function splitPlugins(s: ContainerdSettings): Table {
  const [major, minor] = s.version;
  const severalDirs = major > 2 || minor >= 1;
  return {
    "io.containerd.grpc.v1.cri": streaming(s),
    "io.containerd.cri.v1.images": {
      snapshotter: "overlayfs",
      pinned_images: { sandbox: s.sandboxImage },
      registry: { config_path: s.registryConfigDir },
    },
    "io.containerd.cri.v1.runtime": {
      ...runtimeTable(s),
      cni: {
        ...(severalDirs ? { bin_dirs: s.cniBinDirs } : { bin_dir: s.cniBinDirs[0] ?? "/opt/cni/bin" }),
        conf_dir: s.cniConfDir,
      },
    },
  };
}

export function containerdConfig(s: ContainerdSettings): string {
  const split = s.version[0] >= 2;
  const table: Table = {
    version: split ? 3 : 2,
    root: s.rootDir,
    state: s.stateDir,
    oom_score: 0,
    // None of these is used here, and each costs time or a warning at every start.
    disabled_plugins: [
      "io.containerd.snapshotter.v1.aufs",
      "io.containerd.snapshotter.v1.btrfs",
      "io.containerd.snapshotter.v1.devmapper",
      "io.containerd.snapshotter.v1.zfs",
      "io.containerd.internal.v1.opt",
      "io.containerd.tracing.processor.v1.otlp",
    ],
    // Without it containerd would run on, and answer nothing that is asked of it, until somebody ends it.
    required_plugins: ["io.containerd.grpc.v1.cri"],
    grpc: { address: s.socketPath },
    debug: { level: "warn" },
    plugins: split ? splitPlugins(s) : onePlugin(s),
  };
  return `# Written by knarr at every start. Do not edit.\n${toToml(table)}\n`;
}

/** `containerd github.com/containerd/containerd/v2 v2.1.3 …` → [2, 1]. */
export function parseVersion(text: string): [number, number] | undefined {
  const match = /\bv?(\d+)\.(\d+)\.\d+/.exec(text);
  return match ? [Number(match[1]), Number(match[2])] : undefined;
}
