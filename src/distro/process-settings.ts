/**
 * What a KubeletConfiguration says of the process that the kubelet is in: the last to be killed for want of memory, and with
 * how many open files. Other components are in it too, so that only what is asked for is done.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
import { writeFile } from "node:fs/promises";
import { messageOf, runOk, type World } from "#base";
import type { KubeletConfig } from "#kubelet";

type Settings = Partial<Pick<KubeletConfig, "oomScoreAdj" | "maxOpenFiles">>;

/** What cannot be done is told: as upstream, the kubelet starts all the same. */
export async function applyProcessSettings(
  { oomScoreAdj, maxOpenFiles }: Settings,
  { log }: World,
  pid: number | "self" = "self",
): Promise<void> {
  if (oomScoreAdj !== undefined)
    await writeFile(`/proc/${pid}/oom_score_adj`, String(oomScoreAdj)).catch((error: unknown) =>
      log.warn({ oomScoreAdj, error: messageOf(error) }, "Failed to ApplyOOMScoreAdj"),
    );
  if (maxOpenFiles) {
    const target = pid === "self" ? process.pid : pid;
    const limit = `--nofile=${maxOpenFiles}:${maxOpenFiles}`;
    await runOk("prlimit", ["--pid", String(target), limit]).catch((error: unknown) =>
      log.warn({ maxOpenFiles, error: messageOf(error) }, "Failed to set rlimit on max file handles"),
    );
  }
}
