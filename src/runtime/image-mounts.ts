/**
 * Images as folders to read: a view of an image's layers by containerd's own snapshotter, which its garbage collection
 * leaves alone until the folder is unmounted. CRI has no call for it before containerd 2.1.
 * https://github.com/containerd/containerd/blob/main/api/services/snapshots/v1/snapshots.proto
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rmdir } from "node:fs/promises";
import { Metadata } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { codeOf, runOk } from "#base";
import { RuntimeError } from "#contracts";

const types = new protobuf.Root().addJSON({
  View: {
    fields: {
      snapshotter: { type: "string", id: 1 },
      key: { type: "string", id: 2 },
      parent: { type: "string", id: 3 },
      labels: { rule: "repeated", type: "Label", id: 4 },
    },
  },
  Label: { fields: { key: { type: "string", id: 1 }, value: { type: "string", id: 2 } } },
  Key: { fields: { snapshotter: { type: "string", id: 1 }, key: { type: "string", id: 2 } } },
  Mounts: { fields: { mounts: { rule: "repeated", type: "Mount", id: 1 } } },
  Mount: {
    fields: {
      type: { type: "string", id: 1 },
      source: { type: "string", id: 2 },
      options: { rule: "repeated", type: "string", id: 4 },
    },
  },
});

interface SnapshotMount {
  type: string;
  source: string;
  options: string[];
}

const service = "/containerd.services.snapshots.v1.Snapshots";
/** The one that containerd's CRI uses here. */
const snapshotter = "overlayfs";

/** One call of any service on the runtime's socket. */
export type RawCall = (path: string, request: Buffer, metadata: Metadata) => Promise<Buffer>;

/** Mounting by a short name of the folder's: names of snapshots have no length to spare for paths. */
const keyOf = (target: string) =>
  `knarr-image-${createHash("sha256").update(target).digest("hex").slice(0, 32)}`;

async function isMounted(target: string): Promise<boolean> {
  const mounts = await readFile("/proc/self/mounts", "utf8");
  return mounts.split("\n").some((line) => line.split(" ")[1] === target);
}

export interface ImageMounts {
  mountImage(chainId: string, target: string, nowMs: number): Promise<void>;
  unmountImage(target: string): Promise<void>;
}

export function imageMounts(call: RawCall): ImageMounts {
  const metadata = new Metadata({ waitForReady: true });
  metadata.set("containerd-namespace", "k8s.io");
  const ask = (method: string, type: string, request: object): Promise<Buffer> => {
    const encoder = types.lookupType(type);
    return call(
      `${service}/${method}`,
      Buffer.from(encoder.encode(encoder.fromObject(request)).finish()),
      metadata,
    );
  };
  const mountsIn = (bytes: Buffer): SnapshotMount[] => {
    const decoder = types.lookupType("Mounts");
    const { mounts } = decoder.toObject(decoder.decode(bytes), { defaults: true, arrays: true });
    return mounts as SnapshotMount[];
  };

  async function view(key: string, parent: string, nowMs: number): Promise<SnapshotMount[]> {
    const labels = [{ key: "containerd.io/gc.root", value: new Date(nowMs).toISOString() }];
    try {
      return mountsIn(await ask("View", "View", { snapshotter, key, parent, labels }));
    } catch (error) {
      if (!(error instanceof RuntimeError) || error.code !== "ALREADY_EXISTS") throw error;
      return mountsIn(await ask("Mounts", "Key", { snapshotter, key }));
    }
  }

  return {
    async mountImage(chainId, target, nowMs) {
      await mkdir(target, { recursive: true, mode: 0o755 });
      if (await isMounted(target)) return;
      const [mount] = await view(keyOf(target), chainId, nowMs);
      if (!mount) throw new RuntimeError("INTERNAL", "the snapshotter names no mount");
      // An image is there to be read: as upstream, nothing in it is run.
      const options = [...mount.options.filter((each) => each !== "rw"), "ro", "noexec"];
      const type = mount.type === "bind" ? [] : ["-t", mount.type];
      await runOk("mount", [...type, "-o", [...new Set(options)].join(","), mount.source, target]);
    },
    async unmountImage(target) {
      if (await isMounted(target))
        await runOk("umount", [target]).catch(() => runOk("umount", ["-l", target]));
      await ask("Remove", "Key", { snapshotter, key: keyOf(target) }).catch((error: unknown) => {
        if (!(error instanceof RuntimeError) || error.code !== "NOT_FOUND") throw error;
      });
      await rmdir(target).catch((error: unknown) => {
        if (codeOf(error) !== "ENOENT") throw error;
      });
    },
  };
}
