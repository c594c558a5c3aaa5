/**
 * Images without a build tool and without a network: files and a configuration in, an OCI layout as tar out.
 * https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { arch } from "node:process";
import { normalizeReference } from "#contracts";

import { type TarEntry, tarOf } from "./tar.ts";

/** One file of a layer: from memory, from the machine, or a symbolic link. */
export interface LayerFile {
  path: string;
  content?: Uint8Array | string;
  /** Taken from this file of the machine. */
  file?: string;
  linkTo?: string;
  directory?: boolean;
  mode?: number;
}

export interface ImageConfig {
  entrypoint?: string[];
  cmd?: string[];
  /** `NAME=value`. */
  env?: string[];
  user?: string;
  workingDir?: string;
  /** `80/tcp`. */
  exposedPorts?: string[];
}

export interface ImageSource {
  /** `web:1`; made whole as a registry would. */
  name: string;
  layers: readonly (readonly LayerFile[])[];
  config?: ImageConfig;
  architecture?: string;
}

const architectures: Record<string, string> = { x64: "amd64", arm64: "arm64" };

/** Go's name for this machine's architecture. */
export function machineArchitecture(): string {
  return architectures[arch] ?? arch;
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function layerOf(files: readonly LayerFile[]): Promise<Buffer> {
  const entries: TarEntry[] = [];
  for (const file of files) {
    const content = file.file ? await readFile(file.file) : Buffer.from(file.content ?? "");
    entries.push({
      path: file.path,
      content,
      ...(file.mode !== undefined ? { mode: file.mode } : {}),
      ...(file.linkTo !== undefined ? { linkTo: file.linkTo } : {}),
      ...(file.directory ? { directory: true } : {}),
    });
  }
  return tarOf(entries);
}

/** The OCI layout, ready for `importImage`. The same source gives the same bytes. */
export async function buildImage(source: ImageSource): Promise<Buffer> {
  const layers = await Promise.all(source.layers.map(layerOf));
  const { config = {} } = source;
  const imageConfig = Buffer.from(
    JSON.stringify({
      architecture: source.architecture ?? machineArchitecture(),
      os: "linux",
      config: {
        ...(config.entrypoint ? { Entrypoint: config.entrypoint } : {}),
        ...(config.cmd ? { Cmd: config.cmd } : {}),
        ...(config.user ? { User: config.user } : {}),
        ...(config.workingDir ? { WorkingDir: config.workingDir } : {}),
        ...(config.exposedPorts
          ? { ExposedPorts: Object.fromEntries(config.exposedPorts.map((p) => [p, {}])) }
          : {}),
        Env: config.env ?? ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      },
      rootfs: { type: "layers", diff_ids: layers.map((l) => `sha256:${sha256(l)}`) },
    }),
  );
  const descriptor = (mediaType: string, blob: Buffer) => ({
    mediaType,
    digest: `sha256:${sha256(blob)}`,
    size: blob.length,
  });
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: descriptor("application/vnd.oci.image.config.v1+json", imageConfig),
      layers: layers.map((l) => descriptor("application/vnd.oci.image.layer.v1.tar", l)),
    }),
  );
  const name = normalizeReference(source.name);
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [{ ...descriptor(manifestType, manifest), annotations: { "io.containerd.image.name": name } }],
  });
  const blobs = new Map([imageConfig, manifest, ...layers].map((b) => [sha256(b), b]));
  return tarOf([
    { path: "oci-layout", content: Buffer.from('{"imageLayoutVersion":"1.0.0"}') },
    { path: "index.json", content: Buffer.from(index) },
    ...[...blobs].map(([digest, content]) => ({ path: `blobs/sha256/${digest}`, content })),
  ]);
}

/** A layer with a static busybox under `/bin`, every applet a link, and what programs expect to find. */
export function busyboxLayer(busyboxFile: string, applets: readonly string[]): LayerFile[] {
  return [
    { path: "bin", directory: true },
    { path: "bin/busybox", file: busyboxFile, mode: 0o755 },
    ...applets.filter((a) => a !== "busybox").map((a) => ({ path: `bin/${a}`, linkTo: "busybox" })),
    { path: "etc", directory: true },
    {
      path: "etc/passwd",
      content: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    },
    { path: "etc/group", content: "root:x:0:\nnogroup:x:65534:\n" },
    { path: "root", directory: true, mode: 0o700 },
    { path: "tmp", directory: true, mode: 0o1777 },
  ];
}
