/**
 * Disks of other machines by iSCSI, through the host's open-iscsi: logged in to by the first pod, out of by the last.
 * https://kubernetes.io/docs/concepts/storage/volumes/#iscsi
 */
import type { corev1 } from "#api";
import { messageOf } from "#base";
import { defineVolumePlugin, noNeeds, VolumeError, type VolumeHost, type VolumePlan } from "#contracts";
import {
  chapOf,
  deviceOf,
  idleSessions,
  loginCommands,
  logoutCommands,
  parseSessions,
  rescanCommand,
  sessionsCommand,
} from "./iscsiadm.ts";

type IscsiPlan = Extract<VolumePlan, { kind: "iscsi" }>;
type Source = Readonly<corev1.ISCSIVolumeSource>;

const program = "iscsiadm";
const settleSeconds = 10;
const defaultPort = ":3260";

/** An address of IPv6 stands in brackets. */
const withPort = (portal: string) =>
  /:\d+$/.test(portal.replace(/^\[.*\]/, "")) ? portal : portal + defaultPort;

const usesChap = ({ chapAuthDiscovery, chapAuthSession }: Source) =>
  Boolean(chapAuthDiscovery || chapAuthSession);

function plan(source: Source, secret: Readonly<corev1.Secret> | undefined): IscsiPlan {
  if (source.initiatorName)
    throw new VolumeError(
      "an initiatorName of its own is not supported: /etc/iscsi/initiatorname.iscsi is the node's",
    );
  if (usesChap(source) && !secret) throw new VolumeError("CHAP needs a secretRef with names and passwords");
  const values = Object.entries(secret?.data ?? {}).map(
    ([key, base64]) => [key, Buffer.from(base64, "base64").toString("utf8")] as const,
  );
  return {
    kind: "iscsi",
    portals: [source.targetPortal, ...(source.portals ?? [])].map(withPort),
    iqn: source.iqn,
    lun: source.lun,
    iface: source.iscsiInterface || "default",
    chap: chapOf(Object.fromEntries(values), {
      discovery: source.chapAuthDiscovery ?? false,
      session: source.chapAuthSession ?? false,
    }),
    fsType: source.fsType || "ext4",
    options: source.readOnly ? ["ro"] : [],
  };
}

const sessionsOf = async (host: VolumeHost) =>
  // It fails where there is no session at all.
  parseSessions(await host.run(program, sessionsCommand).catch(() => ""));

async function logIn({ iqn, iface, chap }: IscsiPlan, portal: string, host: VolumeHost): Promise<void> {
  const target = { portal, iqn, iface };
  const isThere = (await sessionsOf(host)).some((each) => each.iqn === iqn && each.portal === portal);
  if (isThere) {
    await host.run(program, rescanCommand(target));
    return;
  }
  const { prepare, discover, login, forgetPortal, forgetNode } = loginCommands(target, chap);
  const all = async (commands: readonly string[][], what: string, forget: string[]) => {
    try {
      for (const args of commands) await host.run(program, args);
    } catch (error) {
      await host.run(program, forget).catch(() => {});
      throw new VolumeError(`iscsi: ${what} portal ${portal}: ${messageOf(error)}`);
    }
  };
  await host.run(program, prepare).catch(() => {});
  await all(discover, "failed to sendtargets to", forgetPortal);
  await all(login, "failed to attach disk of", forgetNode);
}

/** The device of the first portal that leads to it. */
async function attach(asked: IscsiPlan, host: VolumeHost): Promise<string> {
  let last = "the disk did not appear";
  for (const portal of asked.portals) {
    try {
      await logIn(asked, portal, host);
      const device = deviceOf({ portal, iqn: asked.iqn }, asked.lun);
      // The kernel has it at once, its name comes with udev.
      const settle = ["settle", `--timeout=${settleSeconds}`, `--exit-if-exists=${device}`];
      await host.run("udevadm", settle).catch(() => {});
      if ((await host.pathType(device)) === "blockDevice") return device;
    } catch (error) {
      last = messageOf(error);
    }
  }
  throw new VolumeError(`failed to get any path for iscsi disk, last err seen:\n${last}`);
}

/** One login or logout at a time: none leaves while another, of the same target, comes. */
let turn: Promise<unknown> = Promise.resolve();
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = turn.then(work);
  turn = mine.catch(() => {});
  return mine;
}

async function logOutIdle(device: string, host: VolumeHost): Promise<void> {
  const mounted = new Set((await host.mountSources()).values());
  const disk = device.replace(/^\/dev\//, "");
  for (const session of idleSessions(await sessionsOf(host), disk, mounted))
    for (const args of logoutCommands(session)) await host.run(program, args);
}

export const iscsiVolume = defineVolumePlugin({
  name: "iscsi",
  directoryName: "kubernetes.io~iscsi",
  live: false,
  needs({ iscsi }) {
    const name = iscsi && usesChap(iscsi) ? iscsi.secretRef?.name : undefined;
    return name ? { ...noNeeds, secrets: [{ name, optional: false }] } : noNeeds;
  },
  plan({ iscsi, persistent }, sources) {
    if (persistent?.spec.volumeMode === "Block")
      throw new VolumeError("volumeMode Block is not supported for volumes of the kind iscsi");
    const secretSpace = persistent?.spec.iscsi?.secretRef?.namespace;
    if (secretSpace && secretSpace !== persistent?.claim.metadata.namespace)
      throw new VolumeError(`the secret has to be in the claim's namespace, not in ${secretSpace}`);
    const made = plan(iscsi!, sources.secrets.get(iscsi!.secretRef?.name ?? ""));
    return { ...made, options: [...(persistent?.spec.mountOptions ?? []), ...made.options] };
  },
  inspect: async ({ dir }, host) => ({ mounted: await host.isMounted(dir) }),
  async mount({ plan: asked, dir, fsGroup, fsGroupChangePolicy }, host) {
    if (asked.kind !== "iscsi") throw new VolumeError("not an iSCSI disk");
    if (await host.isMounted(dir)) return dir;
    if (!host.hasProgram(program))
      throw new VolumeError(
        `mounting iscsi needs the program ${program} on the node: apt-get install open-iscsi`,
      );
    await inTurn(async () => {
      const device = await attach(asked, host);
      await host.ensureDirectory(dir, 0o750);
      if (!asked.options.includes("ro")) await host.format(device, asked.fsType);
      await host.mount(device, dir, asked.fsType, asked.options);
    });
    if (fsGroup !== undefined && !asked.options.includes("ro"))
      await host.setGroup(dir, fsGroup, fsGroupChangePolicy === "OnRootMismatch");
    return dir;
  },
  unmount: (dir, host) =>
    inTurn(async () => {
      const device = (await host.mountSources()).get(dir);
      await host.unmount(dir);
      await host.removeEmptyDirectory(dir);
      if (device?.startsWith("/dev/") && host.hasProgram(program)) await logOutIdle(device, host);
    }),
  rebuild: async (dir, host) => ({ path: dir, mounted: await host.isMounted(dir) }),
  usage: ({ path }, host) => host.fileSystemUsage(path),
});
