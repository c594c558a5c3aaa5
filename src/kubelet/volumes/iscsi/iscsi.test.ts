import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { seededRandom } from "#base";
import type { MountableVolume, VolumeHost, VolumeSources } from "#contracts";
import { makePod } from "../../testing/pods.ts";
import { machineVolumeHost } from "../host.ts";
import { iscsiVolume } from "./iscsi.ts";
import { parseSessions } from "./iscsiadm.ts";

const iqn = "iqn.2026-11.dev.knarr:disk";
const portal = "192.0.2.1:3260";
const source = { targetPortal: "192.0.2.1", iqn, lun: 1 };

function planOf(
  iscsi: corev1.ISCSIVolumeSource,
  more: Partial<MountableVolume> = {},
  secret?: corev1.Secret,
) {
  const sources: VolumeSources = {
    configMaps: new Map(),
    secrets: new Map(secret ? [[secret.metadata.name, secret]] : []),
    tokens: [],
  };
  const context = { pod: makePod(), nodeName: "n1", allocatable: {}, dataDir: "/data", logDir: "/logs" };
  return iscsiVolume.plan({ name: "v", iscsi, ...more }, sources, context);
}

/** As `iscsiadm -m session -P 3` prints them. */
const printed = (disks: Record<string, string[]>) =>
  Object.entries(disks)
    .map(([name, of]) =>
      [
        `Target: ${name} (non-flash)`,
        `\tCurrent Portal: ${portal},1`,
        `\tPersistent Portal: ${portal},1`,
        ...of.map((disk) => `\t\t\tAttached scsi disk ${disk}\t\tState: running`),
      ].join("\n"),
    )
    .join("\n");

/** A host with disks that are there once somebody has logged in to their target. */
function fakeHost(failing = "") {
  const commands: string[] = [];
  const mounted = new Map<string, string>();
  const sessions: Record<string, string[]> = {};
  const host: VolumeHost = {
    ...machineVolumeHost(seededRandom(1)),
    hasProgram: () => true,
    ensureDirectory: async () => {},
    removeEmptyDirectory: async () => {},
    format: async (device, fsType) => void commands.push(`mkfs.${fsType} ${device}`),
    pathType: async () => (iqn in sessions ? "blockDevice" : "absent"),
    isMounted: async (path) => mounted.has(path),
    mount: async (_device, path) => void mounted.set(path, "/dev/sdb"),
    unmount: async (path) => void mounted.delete(path),
    mountSources: async () => mounted,
    async run(program, args) {
      const line = [program, ...args].join(" ");
      if (line.includes("session -P 3")) {
        if (Object.keys(sessions).length === 0) throw new Error("No active sessions.");
        return printed(sessions);
      }
      commands.push(line);
      if (failing && line.includes(failing)) throw new Error("no answer");
      if (line.endsWith("--login")) sessions[iqn] = ["sdb", "sdc"];
      if (line.endsWith("--logout")) delete sessions[iqn];
      return "";
    },
  };
  return { host, commands, mounted };
}

const node = `iscsiadm -m node -p ${portal} -T ${iqn}`;
const discovery = `iscsiadm -m discoverydb -t sendtargets -p ${portal} -I default`;
const device = `/dev/disk/by-path/ip-${portal}-iscsi-${iqn}-lun-1`;

test("the first pod logs in, the last logs out, and those between find the disk there", async () => {
  const { host, commands, mounted } = fakeHost();
  const mount = (dir: string) => iscsiVolume.mount({ plan: planOf(source), dir }, host);
  await Promise.all([mount("/a"), mount("/b")]);
  const settle = `udevadm settle --timeout=10 --exit-if-exists=${device}`;
  expect(commands).toEqual([
    `${discovery} -o new`,
    `${discovery} --discover`,
    `${node} -I default -o update -n node.startup -v manual`,
    `${node} -I default --login`,
    settle,
    `mkfs.ext4 ${device}`,
    `${node} -I default --rescan`,
    settle,
    `mkfs.ext4 ${device}`,
  ]);
  commands.length = 0;
  await iscsiVolume.unmount("/a", host);
  expect(commands).toEqual([]);
  // Another disk of the same target.
  mounted.set("/c", "/dev/sdc");
  await iscsiVolume.unmount("/b", host);
  expect(commands).toEqual([]);
  mounted.delete("/c");
  mounted.set("/b", "/dev/sdb");
  await iscsiVolume.unmount("/b", host);
  expect(commands).toEqual([`${node} --logout`, `${node} -o delete`]);
});

test("names and passwords go where they are asked for, under open-iscsi's names", async () => {
  const { host, commands } = fakeHost();
  const data = {
    "discovery.sendtargets.auth.username": "finder",
    "node.session.auth.username": "user",
    "node.session.auth.password": "word",
    other: "none",
  };
  const secret = {
    metadata: { name: "chap" },
    data: Object.fromEntries(Object.entries(data).map(([k, v]) => [k, Buffer.from(v).toString("base64")])),
  } as unknown as corev1.Secret;
  const asking = { ...source, chapAuthDiscovery: true, chapAuthSession: true, secretRef: { name: "chap" } };
  expect(iscsiVolume.needs({ name: "v", iscsi: asking }, makePod()).secrets).toEqual([
    { name: "chap", optional: false },
  ]);
  await iscsiVolume.mount({ plan: planOf(asking, {}, secret), dir: "/a" }, host);
  expect(commands.filter((line) => line.includes("auth"))).toEqual([
    `${discovery} -o update -n discovery.sendtargets.auth.authmethod -v CHAP`,
    `${discovery} -o update -n discovery.sendtargets.auth.username -v finder`,
    `${node} -I default -o update -n node.session.auth.authmethod -v CHAP`,
    `${node} -I default -o update -n node.session.auth.username -v user`,
    `${node} -I default -o update -n node.session.auth.password -v word`,
  ]);
  expect(() => planOf(asking)).toThrow("CHAP needs a secretRef");
});

test("a portal that does not answer is forgotten and told of; another one is asked", async () => {
  const { host, commands } = fakeHost("--discover");
  const plan = planOf(source);
  await expect(iscsiVolume.mount({ plan, dir: "/a" }, host)).rejects.toThrow(
    `failed to get any path for iscsi disk, last err seen:\niscsi: failed to sendtargets to portal ${portal}: no answer`,
  );
  expect(commands.at(-1)).toBe(`${discovery} -o delete`);
  const other = fakeHost(`-p ${portal} -I default --discover`);
  const two = planOf({ ...source, portals: ["[fd00::1]", "192.0.2.2:3261"] });
  expect(two).toMatchObject({ portals: [portal, "[fd00::1]:3260", "192.0.2.2:3261"] });
  await iscsiVolume.mount({ plan: two, dir: "/a" }, other.host);
  expect(other.commands).toContain(`mkfs.ext4 ${device.replace(portal, "[fd00::1]:3260")}`);
});

test("what cannot be had is refused with a reason", async () => {
  const host = { ...fakeHost().host, hasProgram: () => false };
  await expect(iscsiVolume.mount({ plan: planOf(source), dir: "/a" }, host)).rejects.toThrow(
    "mounting iscsi needs the program iscsiadm on the node: apt-get install open-iscsi",
  );
  const persistent = (spec: object) => ({
    persistent: { name: "pv", spec, claim: { metadata: { namespace: "default" } } as never },
  });
  expect(() => planOf(source, persistent({ volumeMode: "Block" }))).toThrow("volumeMode Block");
  expect(() =>
    planOf(source, persistent({ iscsi: { secretRef: { name: "chap", namespace: "other" } } })),
  ).toThrow("has to be in the claim's namespace");
  expect(() => planOf({ ...source, initiatorName: "iqn.2026-11.dev.knarr:me" })).toThrow("initiatorName");
});

test("sessions are read from what open-iscsi prints, and from nothing", () => {
  expect(parseSessions("")).toEqual([]);
  expect(parseSessions(printed({ [iqn]: ["sdb"], "iqn.x:y": [] }))).toEqual([
    { iqn, portal, disks: ["sdb"] },
    { iqn: "iqn.x:y", portal, disks: [] },
  ]);
});
