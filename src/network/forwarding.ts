/**
 * Forwarding between the pods and the world, as the kernel's settings say; off again when nobody needs it any more.
 * https://docs.kernel.org/networking/ip-sysctl.html
 */
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "#base";

type Family = "ip" | "ip6";

const ipv6Links = "/proc/sys/net/ipv6/conf";
const switches: Record<Family, string> = {
  ip: "/proc/sys/net/ipv4/ip_forward",
  ip6: join(ipv6Links, "all", "forwarding"),
};

/** In the private state: forwarding was off before this cluster came. */
const marks: Record<Family, string> = { ip: "forwarding-was-off", ip6: "forwarding6-was-off" };

/** Idempotent. Remembers in `stateDir` what it changes, or what a cluster before it has changed. */
export async function enableForwarding(families: readonly Family[], stateDir?: string): Promise<void> {
  for (const family of families) {
    const isOn = (await readSetting(switches[family])) === "1";
    if (isOn && (!stateDir || existsSync(join(stateDir, marks[family])))) continue;
    const heard = isOn ? await inheritedMark(family) : family === "ip6" ? await heedRouters() : [];
    if (!isOn) await writeFile(switches[family], "1");
    if (stateDir && heard) await writeFile(join(stateDir, marks[family]), heard.join("\n"));
  }
}

const noteHead = "forwarding was off";
/** What the kernel keeps of a comment. */
const noteMaxBytes = 120;

/**
 * The mark as the cluster's own table shows it to the next cluster on this machine: the last one to leave switches it off.
 * Undefined where forwarding was on anyway.
 */
export async function forwardingNote(family: Family, stateDir: string): Promise<string | undefined> {
  const file = join(stateDir, marks[family]);
  if (!existsSync(file)) return undefined;
  const heard = (await readSetting(file)).split("\n").filter((link) => /^[\w.-]+$/.test(link));
  let note = noteHead;
  for (const link of heard) if (note.length + link.length < noteMaxBytes) note += ` ${link}`;
  return note;
}

/** The links that an earlier cluster has changed, if it was one that switched forwarding on. */
async function inheritedMark(family: Family): Promise<string[] | undefined> {
  const { stdout } = await run("nft", ["list", "ruleset", family]);
  const [, links] =
    new RegExp(`table \\S+ knarr_\\S+ \\{\\s+comment "${noteHead}([^"]*)"`).exec(stdout) ?? [];
  return links?.split(" ").filter(Boolean);
}

async function readSetting(file: string): Promise<string> {
  return (await readFile(file, "utf8")).trim();
}

/** A machine that forwards hears no router any more, and its way out would be lost, unless its links say 2. */
async function heedRouters(): Promise<string[]> {
  const heard: string[] = [];
  for (const link of await readdir(ipv6Links)) {
    if (link === "all" || link === "default" || link === "lo") continue;
    const file = join(ipv6Links, link, "accept_ra");
    // Links come and go.
    if ((await readSetting(file).catch(() => "")) !== "1") continue;
    await writeFile(file, "2");
    heard.push(link);
  }
  return heard;
}

async function isNeeded(family: Family): Promise<boolean> {
  for (const each of [family, "inet"]) {
    const { code, stdout } = await run("nft", ["list", "ruleset", each]);
    if (code !== 0 || stdout.includes("hook forward") || /\btable \S+ knarr_/.test(stdout)) return true;
  }
  return false;
}

/** As it was before, where nobody else has come to need it meanwhile. */
export async function restoreForwarding(stateDir: string): Promise<void> {
  for (const family of ["ip", "ip6"] as const) {
    if (!existsSync(join(stateDir, marks[family])) || (await isNeeded(family))) continue;
    const heard = (await readSetting(join(stateDir, marks[family]))).split("\n").filter(Boolean);
    await writeFile(switches[family], "0");
    for (const link of heard) {
      const file = join(ipv6Links, link, "accept_ra");
      if ((await readSetting(file).catch(() => "")) === "2") await writeFile(file, "1");
    }
  }
}
