/** `knarr server`: control plane and node in the foreground, until TERM or INT. */
import { rm } from "node:fs/promises";
import { createLogger, createWorld, type LogLevel } from "#base";
import { pathsOf, readConfig, startServer } from "#distro";
import { keepFailure } from "../failure.ts";
import { asUserError, printError } from "../output.ts";
import { type ClusterRequest, prepareCluster } from "../prepare.ts";

interface ServerOptions extends ClusterRequest {
  logLevel: LogLevel;
}

/** What is asked for may differ from what the cluster has. */
function isChange(options: ServerOptions): boolean {
  const { simulate, kubeletConfig, kubeletConfigDir, schedulerConfig, clusterSigningDuration, backend } =
    options;
  return [simulate, kubeletConfig, kubeletConfigDir, schedulerConfig, clusterSigningDuration, backend].some(
    Boolean,
  );
}

export async function server(options: ServerOptions): Promise<void> {
  const world = createWorld({ log: createLogger({ level: options.logLevel }) });
  const { log } = world;
  const paths = pathsOf(options.name, options.dataDir);
  const stop = new Promise<NodeJS.Signals>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  try {
    const config =
      isChange(options) || !readConfig(paths) ? await prepareCluster(options) : readConfig(paths)!;
    await rm(paths.failure, { force: true });
    const running = await startServer({ world, config, paths });
    log.info({ name: config.name, port: config.apiPort }, "the cluster runs");
    const signal = await stop;
    log.info({ signal }, "stopping");
    await running.stop();
  } catch (thrown) {
    const error = asUserError(thrown);
    // `knarr up` waits for this process and shows the reason.
    await keepFailure(paths.failure, error);
    printError(error);
    // Whatever is still open: a server that could not start does not stay.
    process.exit(1);
  }
  process.exit(0);
}
