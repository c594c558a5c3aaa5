/** What the scheduler is told: `scheduler.yaml` in the cluster's folder, in upstream's own form. */
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { codeOf, messageOf, UserError, type World } from "#base";
import { type KubeSchedulerConfiguration, readSchedulerConfiguration } from "#scheduler";
import type { ClusterPaths } from "./config.ts";

/** Undefined: there is no file, and the default profile holds. Throws `UserError`. */
export async function schedulerSettings(
  world: World,
  { schedulerConfig: file }: ClusterPaths,
): Promise<KubeSchedulerConfiguration | undefined> {
  let content: string;
  try {
    content = await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new UserError(`${file} cannot be read: ${messageOf(error)}`, "mend or remove it");
  }
  const { configuration, unused } = readSchedulerConfiguration(content, file);
  if (unused.length > 0) world.log.warn({ file, fields: unused }, "these settings change nothing here");
  return configuration;
}

/** Takes a file of the user's over for good. Throws `UserError` where it cannot be used. */
export async function keepSchedulerConfig(file: string, paths: ClusterPaths): Promise<void> {
  try {
    readSchedulerConfiguration(await readFile(file, "utf8"), file);
    await mkdir(paths.dir, { recursive: true, mode: 0o711 });
    await copyFile(file, paths.schedulerConfig);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `${file} cannot be read: ${messageOf(error)}`,
      "name a KubeSchedulerConfiguration file",
    );
  }
}
