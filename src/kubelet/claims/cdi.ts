/**
 * The Container Device Interface: what a device's name stands for, from the files that drivers write. Runtimes before
 * containerd 2.0 leave it to whoever asks them for a container.
 * https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import type { DeviceGrant } from "../devices/allocation.ts";

interface Edits {
  env?: string[];
  deviceNodes?: { path: string; hostPath?: string; permissions?: string }[];
  mounts?: { hostPath: string; containerPath: string; options?: string[] }[];
  hooks?: unknown[];
}

export interface CdiSpec {
  kind: string;
  devices?: { name: string; containerEdits?: Edits }[];
  containerEdits?: Edits;
}

/** The later ones win: what was made since the machine started. */
export const cdiDirs: readonly string[] = ["/etc/cdi", "/var/run/cdi"];

const fileMaxBytes = 1024 * 1024;
const filesMax = 1000;

export async function readCdiSpecs(dirs: readonly string[] = cdiDirs): Promise<CdiSpec[]> {
  const specs: CdiSpec[] = [];
  for (const dir of dirs) {
    const names = (await readdir(dir).catch(() => [])).filter((name) => /\.(json|ya?ml)$/.test(name));
    for (const name of names.sort().slice(0, filesMax)) {
      const spec = await readSpec(join(dir, name)).catch(() => undefined);
      if (spec) specs.push(spec);
    }
  }
  return specs;
}

async function readSpec(file: string): Promise<CdiSpec | undefined> {
  if ((await stat(file)).size > fileMaxBytes) return undefined;
  const value = parse(await readFile(file, "utf8"), { maxAliasCount: 100, logLevel: "error" }) as CdiSpec;
  return typeof value?.kind === "string" ? value : undefined;
}

/** What a container has to be given for these devices. Pure; throws an `Error` for what cannot be given. */
export function grantOf(specs: readonly CdiSpec[], names: readonly string[]): DeviceGrant {
  const grant: DeviceGrant = { envs: {}, mounts: [], devices: [], annotations: {}, cdiDevices: [] };
  const general = new Set<CdiSpec>();
  for (const name of new Set(names)) {
    const [kind, device] = name.split("=");
    const spec = specs.findLast(
      (each) => each.kind === kind && each.devices?.some((one) => one.name === device),
    );
    const found = spec?.devices?.find((one) => one.name === device);
    if (!spec || !found) throw new Error(`unresolvable CDI devices ${name}`);
    apply(grant, found.containerEdits, name);
    general.add(spec);
  }
  for (const spec of general) apply(grant, spec.containerEdits, spec.kind);
  return grant;
}

function apply(grant: DeviceGrant, edits: Edits | undefined, name: string): void {
  if (edits?.hooks?.length)
    throw new Error(`the CDI device ${name} has hooks, which need containerd 2.0 or newer`);
  for (const text of edits?.env ?? []) {
    const equals = text.indexOf("=");
    if (equals > 0) grant.envs[text.slice(0, equals)] = text.slice(equals + 1);
  }
  for (const { path, hostPath = path, permissions = "rwm" } of edits?.deviceNodes ?? [])
    grant.devices.push({ containerPath: path, hostPath, permissions });
  for (const { hostPath, containerPath, options = [] } of edits?.mounts ?? [])
    grant.mounts.push({ hostPath, containerPath, readOnly: options.includes("ro") });
}
