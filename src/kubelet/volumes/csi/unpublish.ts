/**
 * A CSI volume on its way back: unpublished when its pod has ended, unstaged when no pod of the node has it any more.
 * Also what a process before this one has left.
 * https://github.com/container-storage-interface/spec/blob/master/spec.md#nodeunpublishvolume
 */
import { rm, rmdir, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { codeOf, messageOf } from "#base";
import { uniqueNameOf } from "./requests.ts";
import { type CsiState, stageDir, targetIn } from "./state.ts";
import { dataFile, readVolumeData, stagedVolumes, type VolumeData, volumesOfPods } from "./volume-data.ts";

const keyOf = ({ driverName, volumeHandle }: VolumeData) => `${driverName}^${volumeHandle}`;

export async function unpublish(state: CsiState, dir: string): Promise<void> {
  const data = await readVolumeData(dir);
  if (data) {
    const target = targetIn(dir);
    await state.hold(keyOf(data), async () => {
      const driver = state.drivers.driver(data.driverName);
      await driver.call("NodeUnpublishVolume", {
        volumeId: data.volumeHandle,
        targetPath: driver.pathFor(target),
      });
      await removeEmpty(target);
      state.published.delete(dir);
      await rm(join(dir, dataFile), { force: true });
      await unstageUnused(state, data);
    });
  }
  if (state.inUse.delete(dir)) state.inUseChanged();
  await removeEmpty(dir);
}

async function unstageUnused(state: CsiState, data: VolumeData): Promise<void> {
  const { driverName, volumeHandle } = data;
  const path = stageDir(state, { driver: driverName, handle: volumeHandle });
  if (!(await readVolumeData(dirname(path)))) return;
  const users = await volumesOfPods(state.podsDir);
  if (users.some((each) => keyOf(each) === keyOf(data))) return;
  const driver = state.drivers.driver(driverName);
  await driver.call("NodeUnstageVolume", {
    volumeId: volumeHandle,
    stagingTargetPath: driver.pathFor(path),
  });
  state.staged.delete(path);
  await removeEmpty(path);
  await rm(join(dirname(path), dataFile), { force: true });
  await removeEmpty(dirname(path));
}

export async function removeOrphans(state: CsiState): Promise<void> {
  for (const { dir, attachmentID, driverName: driver, volumeHandle: handle } of await volumesOfPods(
    state.podsDir,
  )) {
    if (!attachmentID || state.inUse.has(dir)) continue;
    state.inUse.set(dir, uniqueNameOf({ driver, handle }));
    state.inUseChanged();
  }
  for (const data of await stagedVolumes(state.csiDir)) {
    await state
      .hold(keyOf(data), () => unstageUnused(state, data))
      .catch((error: unknown) =>
        state.world.log.debug(
          { volume: keyOf(data), error: messageOf(error) },
          "a volume could not be unstaged",
        ),
      );
  }
}

/** A folder that still holds something, or is still mounted on, is never emptied here: it may be somebody's data. */
async function removeEmpty(path: string): Promise<void> {
  try {
    const info = await stat(path);
    await (info.isDirectory() ? rmdir(path) : unlink(path));
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}
