/** `knarr kubeconfig`: the cluster's kubeconfig on standard output. */
import { readFile } from "node:fs/promises";
import { codeOf, UserError } from "#base";
import { checkName, pathsOf } from "#distro";

export async function kubeconfig(options: { name: string; dataDir?: string }): Promise<void> {
  checkName(options.name);
  try {
    process.stdout.write(await readFile(pathsOf(options.name, options.dataDir).kubeconfig, "utf8"));
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    throw new UserError(
      `there is no cluster "${options.name}"`,
      `start it with: knarr up --name ${options.name}`,
    );
  }
}
