/** `knarr agent`: this machine as a node of a cluster elsewhere, in the foreground, until TERM or INT. */
import { createLogger, createWorld, type LogLevel, UserError } from "#base";
import {
  keepKubeletConfig,
  machineAddress,
  machineAddress6,
  machineName,
  pathsOf,
  preflight,
  startAgent,
} from "#distro";
import { keepFailure } from "../failure.ts";
import { asUserError, printError } from "../output.ts";

interface AgentOptions {
  server: string;
  token?: string;
  nodeName?: string;
  nodeAddress?: string;
  dataDir: string;
  kubeletConfig?: string;
  kubeletConfigDir?: string;
  logLevel: LogLevel;
}

/** As the kubelet's `--node-ip`: one address, or one of each family parted by a comma. */
function addressesOf(text: string | undefined): string[] {
  const given = (text ?? "").split(",").filter(Boolean);
  if (given.length > 0) return given;
  const second = machineAddress6();
  return [machineAddress(), ...(second ? [second] : [])];
}

export async function agent(options: AgentOptions): Promise<void> {
  const world = createWorld({ log: createLogger({ level: options.logLevel }) });
  if (!/^https:\/\/[^/]+$/.test(options.server)) {
    throw new UserError(
      `--server ${options.server} is not an address of a server`,
      "give it as https://ADDRESS:PORT",
    );
  }
  const paths = pathsOf("agent", options.dataDir);
  const [finding] = await preflight(paths.dir);
  if (finding) throw new UserError(finding.problem, finding.mend);
  await keepKubeletConfig({ file: options.kubeletConfig, dropIns: options.kubeletConfigDir }, paths);
  const stop = new Promise<NodeJS.Signals>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  // Of nodes that `knarr up` starts; see ../local-nodes.ts.
  const token = options.token ?? process.env.KNARR_TOKEN;
  const running = await startAgent({
    world,
    server: options.server,
    ...(token ? { token } : {}),
    nodeName: options.nodeName ?? machineName(),
    nodeAddresses: () => addressesOf(options.nodeAddress),
    paths,
  }).catch(async (error: unknown) => {
    const mendable = asUserError(error);
    await keepFailure(paths.failure, mendable);
    printError(mendable);
    // Whatever is still open: a node that could not start does not stay.
    process.exit(1);
  });
  world.log.info("the node runs");
  await stop;
  await running.stop();
  process.exit(0);
}
