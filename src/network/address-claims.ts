/**
 * IPv6 asks around for a second or two before an address is used, in case somebody else has it. Nobody else can have a
 * pod's, at the end of its own cable: neither end asks, so that pods with both families start as fast as others.
 * https://www.rfc-editor.org/rfc/rfc4862#section-5.4
 */
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "#base";

/** What gives out addresses in place of `host-local`, in the CNI configuration. */
export const quickIpam = "knarr-host-local";

/** The pod's end has no link yet when its address is asked for: this is the moment to say it of all of its links. */
const script = `#!/bin/sh
# Made by Knarr: host-local, for pods whose addresses nobody else can have.
if [ "$CNI_COMMAND" = ADD ]; then
  nsenter --net="$CNI_NETNS" sh -c 'for which in all default; do echo 0 > /proc/sys/net/ipv6/conf/$which/accept_dad; done'
fi
exec "\${0%/*}/host-local"
`;

/** A folder with the standard plugins and ours. Idempotent. */
export async function openCniBin(dir: string, standardDirs: readonly string[]): Promise<void> {
  await mkdir(dir, { recursive: true });
  for (const standard of standardDirs) {
    if (!existsSync(standard)) continue;
    for (const name of await readdir(standard))
      if (!existsSync(join(dir, name))) {
        await rm(join(dir, name), { force: true });
        await symlink(join(standard, name), join(dir, name));
      }
  }
  await writeFile(join(dir, quickIpam), script);
  await chmod(join(dir, quickIpam), 0o755);
}

/** The node's end of each pod's cable: its address, where it is still asking around, is used at once. */
export async function settleGateways(podAddresses: readonly string[]): Promise<void> {
  for (const address of podAddresses.filter((each) => each.includes(":"))) {
    const { stdout: way } = await run("ip", ["-6", "-o", "route", "get", address]);
    const link = /\bdev (\S+)/.exec(way)?.[1];
    if (!link || link === "lo") continue;
    const { stdout } = await run("ip", [
      "-6",
      "-o",
      "addr",
      "show",
      "dev",
      link,
      "scope",
      "global",
      "tentative",
    ]);
    const gateway = /\binet6 (\S+)/.exec(stdout)?.[1];
    if (!gateway) continue;
    await run("ip", ["-6", "addr", "del", gateway, "dev", link]);
    await run("ip", ["-6", "addr", "add", gateway, "dev", link, "nodad"]);
  }
}
