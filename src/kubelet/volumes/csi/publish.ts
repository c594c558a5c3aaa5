/**
 * A CSI volume on its way to a pod: attached by somebody else, staged, published, given to the pod's group, enlarged.
 * https://github.com/container-storage-interface/spec/blob/master/spec.md#nodestagevolume
 */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { isStatus, volumeAttachments } from "#api";
import { failpoint, messageOf } from "#base";
import {
  type CsiPlan,
  type MountRequest,
  VolumeError,
  type VolumeHost,
  VolumePendingError,
} from "#contracts";
import type { CsiDriver } from "./drivers.ts";
import { expandOnNode } from "./expand.ts";
import {
  type AudienceTokens,
  attachmentNameOf,
  capabilityOf,
  type DriverObject,
  isAttachable,
  ownsByGroup,
  publishDetails,
} from "./requests.ts";
import { secretOf } from "./secrets.ts";
import { type CsiState, stageDir, targetIn } from "./state.ts";
import { readVolumeData, type VolumeData, writeVolumeData } from "./volume-data.ts";

interface Publication {
  request: MountRequest;
  host: VolumeHost;
  plan: CsiPlan;
  object: DriverObject;
}

interface Attached {
  id: string;
  publishContext: Record<string, string>;
}

/** How long a pod's worker waits for an attachment before it looks at something else. */
const attachTries = 10;
const attachPauseMs = 100;

/** Answers the path that containers mount. */
export async function publish(state: CsiState, publication: Publication): Promise<string> {
  const { request, host, plan, object } = publication;
  const { dir, fsGroup } = request;
  const driver = driverOf(state, plan);
  const attached = await attachmentOf(state, plan, object);
  const setsOwner = driver.capabilities.has("VOLUME_MOUNT_GROUP");
  const capability = capabilityOf(plan, driver.capabilities, setsOwner ? fsGroup : undefined);
  const details = publishDetails(plan, object, await tokensFor(state, plan, object));
  const path = targetIn(dir);
  const isAgain = (await readVolumeData(dir)) !== undefined;
  await mkdir(dir, { recursive: true, mode: 0o750 });
  await writeVolumeData(dir, dataOf(plan, attached));
  const stagingPath = await stage(state, driver, plan, capability, attached);
  failpoint("csi/staged");
  await driver.call("NodePublishVolume", {
    volumeId: plan.handle,
    publishContext: attached?.publishContext ?? {},
    stagingTargetPath: stagingPath && driver.pathFor(stagingPath),
    targetPath: driver.pathFor(path),
    volumeCapability: capability,
    readonly: plan.isReadOnly,
    secrets: {
      ...(await secretOf(state.client, plan.publishSecret, "NodePublishSecretRef")),
      ...details.secrets,
    },
    volumeContext: details.volumeContext,
  });
  failpoint("csi/published");
  const isFirst = !state.published.has(dir);
  if (isFirst && fsGroup !== undefined && !setsOwner && ownsByGroup(plan, object))
    await host.setGroup(path, fsGroup, isAgain || request.fsGroupChangePolicy === "OnRootMismatch");
  state.published.add(dir);
  await expandOnNode(state, driver, plan, { volumePath: path, stagingPath, capability });
  return path;
}

/** In upstream's words for a driver that has not registered. */
function driverOf({ drivers }: CsiState, plan: CsiPlan): CsiDriver {
  try {
    return drivers.driver(plan.driver);
  } catch (error) {
    const [doing, step] = plan.persistent
      ? ["attacher.MountDevice failed to create newCsiDriverClient", "MountVolume.MountDevice"]
      : ["mounter.SetUpAt failed to get CSI client", undefined];
    throw new VolumeError(`kubernetes.io/csi: ${doing}: ${messageOf(error)}`, step);
  }
}

/** Once for the node, however many pods use it. */
async function stage(
  state: CsiState,
  driver: CsiDriver,
  plan: CsiPlan,
  capability: object,
  attached: Attached | undefined,
): Promise<string> {
  if (!driver.capabilities.has("STAGE_UNSTAGE_VOLUME") || !plan.persistent) return "";
  const path = stageDir(state, plan);
  if (state.staged.has(path)) return path;
  await mkdir(path, { recursive: true, mode: 0o750 });
  await writeVolumeData(dirname(path), { driverName: plan.driver, volumeHandle: plan.handle });
  try {
    await driver.call("NodeStageVolume", {
      volumeId: plan.handle,
      publishContext: attached?.publishContext ?? {},
      stagingTargetPath: driver.pathFor(path),
      volumeCapability: capability,
      secrets: await secretOf(state.client, plan.stageSecret, "NodeStageSecretRef"),
      volumeContext: plan.attributes,
    });
  } catch (error) {
    throw new VolumeError(
      messageOf(error),
      plan.isBlock ? "MapVolume.SetUpDevice" : "MountVolume.MountDevice",
    );
  }
  state.staged.add(path);
  return path;
}

function dataOf(plan: CsiPlan, attached: Attached | undefined): VolumeData {
  return {
    driverName: plan.driver,
    volumeHandle: plan.handle,
    nodeName: plan.nodeName,
    specVolID: plan.persistent?.name ?? plan.handle,
    volumeLifecycleMode: plan.persistent ? "Persistent" : "Ephemeral",
    ...(attached ? { attachmentID: attached.id } : {}),
  };
}

async function tokensFor(
  { tokens: source }: CsiState,
  { pod }: CsiPlan,
  object: DriverObject,
): Promise<AudienceTokens> {
  const tokens: Record<string, { token: string; expirationTimestamp: string }> = {};
  for (const { audience, expirationSeconds = 3600 } of object?.spec.tokenRequests ?? [])
    tokens[audience] = await source.heldFor(pod, audience || undefined, expirationSeconds);
  return tokens;
}

/** What the driver's controller said when it attached the volume to this node. */
async function attachmentOf(
  { client, world }: CsiState,
  plan: CsiPlan,
  object: DriverObject,
): Promise<Attached | undefined> {
  if (!isAttachable(plan, object)) return undefined;
  const name = attachmentNameOf(plan);
  for (let tries = 0; tries < attachTries; tries++) {
    const found = await client.get(volumeAttachments, { name }).catch((error: unknown) => {
      if (isStatus(error, "NotFound")) return undefined;
      throw error;
    });
    if (found?.status?.attached && !found.metadata.deletionTimestamp)
      return { id: name, publishContext: found.status.attachmentMetadata ?? {} };
    await world.clock.sleep(attachPauseMs);
  }
  throw new VolumePendingError(`volume ${plan.handle} is not attached to this node yet`);
}
