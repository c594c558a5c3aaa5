/** `knarr down`: ends a cluster on this machine; with `--purge` nothing of it is left. */
import { systemClock as clock, createWorld, silentLogger, UserError } from "#base";
import {
  checkName,
  closeLocalNetwork,
  clustersRoot,
  endDnsStandby,
  endInstance,
  localNodesOf,
  pathsOf,
  purge,
  readConfig,
  stopLocalNodes,
  stopNode,
  unlinkCluster,
} from "#distro";
import { print, step } from "../output.ts";
import { removeFromUserKubeconfig } from "../user-kubeconfig.ts";

interface DownOptions {
  name: string;
  dataDir?: string;
  purge?: boolean;
}

const serverPatienceMs = 15_000;

export async function down(options: DownOptions): Promise<void> {
  checkName(options.name);
  const paths = pathsOf(options.name, options.dataDir);
  const config = readConfig(paths);
  if (!config) {
    if (options.purge) return print(`there is no cluster "${options.name}": nothing to do`);
    throw new UserError(
      `there is no cluster "${options.name}" in ${paths.dir}`,
      `knarr status lists the clusters in ${clustersRoot()}`,
    );
  }
  const world = createWorld({ log: silentLogger });
  await step(clock, "stopping the server", "server stopped", async () => {
    // Nobody needs to answer for its names.
    await endDnsStandby(paths, clock);
    await endInstance(clock, paths.pid, serverPatienceMs);
  });
  const further = config.role === "server" ? localNodesOf(config, paths) : [];
  if (further.length > 0) {
    const label = further.map(({ name }) => name).join(", ");
    await step(clock, `stopping ${label}`, `${label} stopped`, async () => {
      await stopLocalNodes(world, further, { purge: options.purge === true });
      await closeLocalNetwork(config);
    });
  }
  if (config.simulatedNodes === 0) {
    await step(clock, "stopping pods and containerd", "pods and containerd stopped", () =>
      stopNode(world, config, paths),
    );
  }
  if (!options.purge) return print(`\nIts objects and images stay; knarr up starts it again.`);
  await step(clock, "removing everything", `removed ${paths.dir}`, async () => {
    await purge(paths);
    if (config.role === "agent") return;
    await unlinkCluster(config.name);
    await removeFromUserKubeconfig(config.name);
  });
}
