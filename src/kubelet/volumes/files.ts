/** What ConfigMap, Secret, downward API and projected volumes share: choosing keys, checking paths, writing files. */
import type { corev1 } from "#api";
import type { VolumeContext } from "#contracts";
import {
  type MountRequest,
  VolumeError,
  type VolumeFile,
  type VolumeHost,
  type VolumePlugin,
} from "#contracts";
import { FieldPathError, fieldValue, findContainer, resourceFieldValue } from "../field-paths.ts";

export const defaultFileMode = 0o644;

/** A path inside a volume: relative, and never upwards. The API server checks it too; the kubelet does not rely on it. */
export function checkPath(path: string): string {
  const parts = path.split("/");
  if (
    path === "" ||
    path.startsWith("/") ||
    parts.includes("..") ||
    parts[0]!.startsWith("..") ||
    path.includes("\0")
  ) {
    throw new VolumeError(`invalid path ${JSON.stringify(path)} in a volume`);
  }
  return path;
}

/** In upstream's words, which differ. */
const noSuchKey = {
  configmap: "configmap references non-existent config key",
  secret: "references non-existent secret key",
} as const;

/** All keys, or the items asked for. */
export function selectKeys(
  data: ReadonlyMap<string, Uint8Array>,
  items: readonly corev1.KeyToPath[] | undefined,
  mode: number,
  optional: boolean,
  kind: "configmap" | "secret",
): VolumeFile[] {
  if (!items || items.length === 0) {
    return [...data].map(([key, content]) => ({ path: checkPath(key), content, mode }));
  }
  const files: VolumeFile[] = [];
  for (const item of items) {
    const content = data.get(item.key);
    if (content) files.push({ path: checkPath(item.path), content, mode: item.mode ?? mode });
    else if (!optional) throw new VolumeError(`${noSuchKey[kind]}: ${item.key}`);
  }
  return files;
}

export function configMapData(map: Readonly<corev1.ConfigMap> | undefined): Map<string, Uint8Array> {
  const data = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(map?.data ?? {})) data.set(key, Buffer.from(value));
  for (const [key, value] of Object.entries(map?.binaryData ?? {}))
    data.set(key, Buffer.from(value, "base64"));
  return data;
}

export function secretData(secret: Readonly<corev1.Secret> | undefined): Map<string, Uint8Array> {
  return new Map(
    Object.entries(secret?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64")]),
  );
}

/** The object, or undefined when it may be missing. */
export function expectObject<T>(
  object: T | undefined,
  kind: string,
  name: string,
  optional: boolean,
): T | undefined {
  if (!object && !optional) throw new VolumeError(`${kind} "${name}" not found`);
  return object;
}

export function downwardFiles(
  items: readonly corev1.DownwardAPIVolumeFile[],
  mode: number,
  context: VolumeContext,
): VolumeFile[] {
  const { pod } = context;
  return items.map((item) => {
    try {
      const text = item.fieldRef
        ? fieldValue(
            pod,
            item.fieldRef.fieldPath,
            (pod.status?.podIPs ?? []).map((p) => p.ip),
            [],
          )
        : resourceFieldValue(
            item.resourceFieldRef!,
            findContainer(pod, item.resourceFieldRef!.containerName),
            context.allocatable,
          );
      return { path: checkPath(item.path), content: Buffer.from(text), mode: item.mode ?? mode };
    } catch (error) {
      if (error instanceof FieldPathError) throw new VolumeError(error.message);
      throw error;
    }
  });
}

/** The effects are the same for all of them. */
export const filesVolume: Pick<VolumePlugin, "inspect" | "mount" | "unmount" | "rebuild" | "usage"> = {
  async inspect({ plan, dir }, host) {
    const present = (await host.pathType(`${dir}/..data`)) === "directory";
    const memory = plan.kind === "files" && plan.medium === "memory";
    return { mounted: present && (!memory || (await host.isMounted(dir))) };
  },
  async mount({ plan, dir, fsGroup }: MountRequest, host: VolumeHost) {
    if (plan.kind !== "files") throw new VolumeError("not a volume of files");
    // Open to everybody, as upstream's: the mount in the container is what nobody can write to.
    await host.ensureDirectory(dir, plan.medium === "memory" ? 0o1777 : 0o777);
    if (plan.medium === "memory") await host.mountTmpfs(dir, undefined, 0o1777);
    await host.writeFiles(dir, plan.files, fsGroup);
    return dir;
  },
  async unmount(dir, host) {
    await host.unmount(dir);
    await host.removeDirectory(dir);
  },
  async rebuild(dir, host) {
    return { path: dir, mounted: (await host.pathType(`${dir}/..data`)) === "directory" };
  },
  usage: ({ path }, host) => host.usage(path),
};
