/**
 * `POST /checkpoint/<namespace>/<pod>/<container>`: a running container's memory and files in an archive on the node, for
 * whoever looks into it elsewhere. The container goes on. The runtime does it, with CRIU, where it can.
 * https://kubernetes.io/docs/reference/node/kubelet-checkpoint-api/
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { formatTime } from "#api";
import { messageOf } from "#base";
import { RuntimeError, rpcWords } from "#contracts";
import { containerNamed } from "../pod-containers.ts";
import { latestContainer } from "../pod-state.ts";
import { HttpError, pathParts, type Serving } from "./request.ts";

/** As upstream's client of the runtime: nobody gets less than it waits for any other call. */
const timeoutMinSeconds = 120;

/** Answers where the archive lies. */
export async function checkpoint(
  { context, workers }: Serving,
  method: string | undefined,
  url: URL,
): Promise<string> {
  if (method !== "POST") throw new HttpError(405, "Method Not Allowed");
  const [namespace = "", name = "", container = ""] = pathParts(url);
  const pod = workers.find(namespace, name)?.pod;
  if (!pod) throw new HttpError(404, "pod does not exist");
  if (!containerNamed(pod, container)) throw new HttpError(404, `container ${container} does not exist`);
  const timeoutSeconds = timeoutOf(url);
  const failed = (why: string) =>
    new HttpError(500, `checkpointing of ${namespace}/${name}/${container} failed (${why})`);
  if (timeoutSeconds < 0) throw failed("CheckpointContainer requires the timeout value to be > 0");
  const state = await context.reader.look(pod.metadata.uid);
  const found = latestContainer(state, container);
  if (!found) throw failed(`container ${container} not found`);
  const time = formatTime(context.world.clock.now());
  const file = `checkpoint-${name}_${namespace}-${container}-${time}.tar`;
  const location = join(context.paths.checkpoints, file);
  try {
    await mkdir(context.paths.checkpoints, { recursive: true, mode: 0o700 });
    await context.runtime.checkpointContainer(
      found.id,
      location,
      Math.max(timeoutSeconds, timeoutMinSeconds),
    );
  } catch (error) {
    throw failed(error instanceof RuntimeError ? rpcWords(error) : messageOf(error));
  }
  return location;
}

/** The last one counts; what is no number is upstream's 404. */
function timeoutOf(url: URL): number {
  const text = url.searchParams.getAll("timeout").at(-1);
  if (text === undefined) return 0;
  const seconds = /^[+-]?\d{1,18}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(seconds)) throw new HttpError(404, "cannot parse value of timeout parameter");
  return Math.min(seconds, 24 * 60 * 60);
}
