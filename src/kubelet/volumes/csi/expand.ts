/**
 * The node's part of enlarging a volume: the driver has made it larger, the file system on it follows.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/#csi-volume-expansion
 */
import { persistentVolumeClaims, quantityValue } from "#api";
import { messageOf } from "#base";
import { type CsiPlan, VolumeError } from "#contracts";
import type { CsiDriver } from "./drivers.ts";
import { expansionOf } from "./requests.ts";
import { secretOf } from "./secrets.ts";
import type { CsiState } from "./state.ts";

interface Where {
  volumePath: string;
  stagingPath: string;
  capability: object;
}

/** Nothing is done where nothing is due. */
export async function expandOnNode(
  state: CsiState,
  driver: CsiDriver,
  plan: CsiPlan,
  where: Where,
): Promise<void> {
  const size = expansionOf(plan);
  if (size === undefined || !plan.persistent) return;
  if (driver.capabilities.has("EXPAND_VOLUME")) await expand(state, driver, plan, { ...where, size });
  await tellClaim(state, plan.persistent.claim, size);
  const words = `MountVolume.NodeExpandVolume succeeded for volume ${JSON.stringify(plan.persistent.name)} ${plan.nodeName}`;
  state.say(plan.pod, "Normal", "FileSystemResizeSuccessful", words);
}

async function expand(
  { client }: CsiState,
  driver: CsiDriver,
  plan: CsiPlan,
  { volumePath, stagingPath, capability, size }: Where & { size: string },
): Promise<void> {
  try {
    await driver.call("NodeExpandVolume", {
      volumeId: plan.handle,
      volumePath: driver.pathFor(volumePath),
      stagingTargetPath: stagingPath && driver.pathFor(stagingPath),
      capacityRange: { requiredBytes: quantityValue(size) },
      volumeCapability: capability,
      secrets: await secretOf(client, plan.expandSecret, "NodeExpandSecretRef"),
    });
  } catch (error) {
    throw new VolumeError(messageOf(error), "MountVolume.NodeExpandVolume");
  }
}

type Claim = NonNullable<CsiPlan["persistent"]>["claim"];

async function tellClaim({ client }: CsiState, claim: Claim, size: string): Promise<void> {
  const { conditions = [], allocatedResourceStatuses = {} } = claim.status ?? {};
  const isOver = (type: string) => type === "FileSystemResizePending" || type === "Resizing";
  const status = {
    capacity: { storage: size },
    conditions: conditions.filter(({ type }) => !isOver(type)),
    ...(allocatedResourceStatuses.storage ? { allocatedResourceStatuses: { storage: null } } : {}),
  };
  const patch = { metadata: { uid: claim.metadata.uid }, status };
  await client.patch(persistentVolumeClaims, claim.metadata, "merge", patch, { subresource: "status" });
}
