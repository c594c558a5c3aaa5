/**
 * What open-iscsi's `iscsiadm` is asked, and what it says of its sessions. Pure.
 * https://manpages.debian.org/bookworm/open-iscsi/iscsiadm.8.en.html
 */

export interface Target {
  /** `ADDRESS:PORT`. */
  portal: string;
  iqn: string;
  /** Of open-iscsi: the network interface by name. */
  iface: string;
}

/** Names and passwords by open-iscsi's own keys; absent where nobody asks for them. */
export interface Chap {
  discovery?: Readonly<Record<string, string>>;
  session?: Readonly<Record<string, string>>;
}

const discoveryKeys = ["username", "password", "username_in", "password_in"].map(
  (name) => `discovery.sendtargets.auth.${name}`,
);
const sessionKeys = ["username", "password", "username_in", "password_in"].map(
  (name) => `node.session.auth.${name}`,
);

/** What of a Secret is for the one and for the other. */
export function chapOf(
  values: Readonly<Record<string, string>>,
  { discovery, session }: { discovery: boolean; session: boolean },
): Chap {
  const only = (keys: readonly string[]) =>
    Object.fromEntries(keys.flatMap((key) => (values[key] ? [[key, values[key]]] : [])));
  return {
    ...(discovery ? { discovery: only(discoveryKeys) } : {}),
    ...(session ? { session: only(sessionKeys) } : {}),
  };
}

const portalOf = ({ portal, iface }: Target) => [
  "-m",
  "discoverydb",
  "-t",
  "sendtargets",
  "-p",
  portal,
  "-I",
  iface,
];
const nodeOf = ({ portal, iqn, iface }: Target) => ["-m", "node", "-p", portal, "-T", iqn, "-I", iface];

function updates(
  of: readonly string[],
  method: string,
  values: Readonly<Record<string, string>> | undefined,
) {
  if (!values) return [];
  const all = { [method]: "CHAP", ...values };
  return Object.entries(all).map(([name, value]) => [...of, "-o", "update", "-n", name, "-v", value]);
}

export interface Login {
  /** May fail: what it makes may be there. */
  prepare: string[];
  /** One after the other. */
  discover: string[][];
  login: string[][];
  /** When discovery, and when the login has failed. */
  forgetPortal: string[];
  forgetNode: string[];
}

/** In upstream's order. A node that starts again shall not wait for disks that nobody asks for yet. */
export function loginCommands(target: Target, chap: Chap): Login {
  const [portal, node] = [portalOf(target), nodeOf(target)];
  return {
    prepare: [...portal, "-o", "new"],
    discover: [
      ...updates(portal, "discovery.sendtargets.auth.authmethod", chap.discovery),
      [...portal, "--discover"],
    ],
    login: [
      ...updates(node, "node.session.auth.authmethod", chap.session),
      [...node, "-o", "update", "-n", "node.startup", "-v", "manual"],
      [...node, "--login"],
    ],
    forgetPortal: [...portal, "-o", "delete"],
    forgetNode: [...node, "-o", "delete"],
  };
}

/** A unit that the target has got since. */
export const rescanCommand = (target: Target) => [...nodeOf(target), "--rescan"];

export const sessionsCommand = ["-m", "session", "-P", "3"];

export function logoutCommands({ portal, iqn }: Pick<Session, "portal" | "iqn">): string[][] {
  const node = ["-m", "node", "-p", portal, "-T", iqn];
  return [
    [...node, "--logout"],
    [...node, "-o", "delete"],
  ];
}

export interface Session {
  iqn: string;
  portal: string;
  /** Of the kernel: `sdb`. */
  disks: string[];
}

/** From what `sessionsCommand` prints. */
export function parseSessions(text: string): Session[] {
  const sessions: Session[] = [];
  let iqn = "";
  for (const line of text.split("\n")) {
    iqn = /^Target: (\S+)/.exec(line)?.[1] ?? iqn;
    const portal = /^\s+Current Portal: (\S+?),/.exec(line)?.[1];
    if (portal) sessions.push({ iqn, portal, disks: [] });
    const disk = /Attached scsi disk (\S+)/.exec(line)?.[1];
    if (disk) sessions.at(-1)?.disks.push(disk);
  }
  return sessions;
}

/** Where udev shows the disk. */
export const deviceOf = ({ portal, iqn }: Pick<Target, "portal" | "iqn">, lun: number) =>
  `/dev/disk/by-path/ip-${portal}-iscsi-${iqn}-lun-${lun}`;

/** Sessions of targets that had `disk`, and of whose disks none is mounted any more. */
export function idleSessions(
  sessions: readonly Session[],
  disk: string,
  mountedDevices: ReadonlySet<string>,
): Session[] {
  const iqns = new Set(sessions.filter(({ disks }) => disks.includes(disk)).map(({ iqn }) => iqn));
  const isUsed = (iqn: string) =>
    sessions.some(
      (each) => each.iqn === iqn && each.disks.some((name) => mountedDevices.has(`/dev/${name}`)),
    );
  return sessions.filter(({ iqn }) => iqns.has(iqn) && !isUsed(iqn));
}
