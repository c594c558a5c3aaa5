/** The process that answers for names while the server's node has no server: `dns-standby.ts` says when. Its argument is the cluster's folder. */
import { createLogger, createWorld, messageOf } from "#base";
import { pathsOf, readConfig } from "./config.ts";
import { standIn } from "./dns-standby.ts";

const world = createWorld({ log: createLogger({ level: "info" }) });
const paths = pathsOf("", process.argv[2]);
const config = readConfig(paths);

try {
  if (!config) throw new Error(`there is no cluster in ${paths.dir}`);
  await standIn(world, config, paths);
} catch (error) {
  world.log.error({ error: messageOf(error) }, "names are not answered while there is no server");
  process.exit(1);
}
