/** `knarr token create`: what another machine needs to join. */
import { createWorld, silentLogger, UserError } from "#base";
import { checkName, joinTokenOf, pathsOf, readConfig } from "#distro";
import { parseFormat, print } from "../output.ts";

interface TokenOptions {
  name: string;
  dataDir?: string;
  output: string;
}

export async function tokenCreate(options: TokenOptions): Promise<void> {
  checkName(options.name);
  const format = parseFormat(options.output);
  const paths = pathsOf(options.name, options.dataDir);
  const config = readConfig(paths);
  if (!config)
    throw new UserError(
      `there is no cluster "${options.name}"`,
      `start it with: knarr up --name ${options.name}`,
    );
  const server = `https://${config.nodeAddress}:${config.apiPort}`;
  const token = await joinTokenOf(createWorld({ log: silentLogger }), paths);
  if (format === "json") return print(JSON.stringify({ server, token }, null, 2));
  print(`knarr agent --server ${server} --token ${token}`);
}
