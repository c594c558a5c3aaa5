/** Debian's docker-registry on a free port of loopback, and images pushed into it over its HTTP API. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { extract } from "tar-stream";
import { runOk } from "#base";
import { installPackages } from "#distro";
import { buildImage, busyboxLayer } from "#runtime";
import { eventually } from "../eventually.ts";

const program = "/usr/bin/docker-registry";

/** The user and password of a registry that asks for them, and how htpasswd writes them down. */
export const login = { username: "ship", password: "cargo" };
const passwordFile = "ship:$2y$05$y/RVInw7jqDxK0NetaHBSebNiw.c/H5wvDeQEUTz65J9655n0z1i6\n";
const authorization = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;

export interface TestRegistry {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  readonly port: number;
  /** Busybox, and a file that says which image it is. */
  pushBusybox(name: string, tag: string): Promise<void>;
  stop(): Promise<void>;
}

let installing: Promise<void> | undefined;

/** Once: two registries start together, and apt-get lets nobody in beside itself. */
function installOnce(): Promise<void> {
  installing ??= install();
  return installing;
}

async function install(): Promise<void> {
  if (!existsSync(program)) await installPackages(["docker-registry"]);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export async function startRegistry(options: {
  withLogin: boolean;
  /** On all addresses of the machine: for nodes that have a loopback of their own. */
  everywhere?: boolean;
}): Promise<TestRegistry> {
  await installOnce();
  const folder = await mkdtemp(join(tmpdir(), "knarr-registry-"));
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const passwords = join(folder, "htpasswd");
  await writeFile(passwords, passwordFile);
  const config = {
    version: 0.1,
    log: { level: "error" },
    storage: { filesystem: { rootdirectory: join(folder, "images") } },
    http: { addr: options.everywhere ? `0.0.0.0:${port}` : host },
    ...(options.withLogin ? { auth: { htpasswd: { realm: "cargo", path: passwords } } } : {}),
  };
  const file = join(folder, "config.json");
  await writeFile(file, JSON.stringify(config));
  const child = spawn(program, ["serve", file], { stdio: "ignore" });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await eventually("the registry", async () =>
    (await fetch(`http://${host}/v2/`)).status < 500 ? true : undefined,
  );
  return {
    host,
    port,
    pushBusybox: (name, tag) => push(host, name, tag),
    stop: () => stop(child, ended, folder),
  };
}

async function stop(child: ChildProcess, ended: Promise<void>, folder: string): Promise<void> {
  child.kill("SIGTERM");
  await ended;
  await rm(folder, { recursive: true, force: true });
}

async function push(host: string, name: string, tag: string): Promise<void> {
  const applets = (await runOk("/bin/busybox", ["--list"])).trim().split("\n");
  const said = [{ path: "image", content: `${name}:${tag}` }];
  const layers = [busyboxLayer("/bin/busybox", applets), said];
  const files = await filesOf(
    await buildImage({ name: `${host}/${name}:${tag}`, layers, config: { cmd: ["sh"] } }),
  );
  const index = JSON.parse(files.get("index.json")!.toString()) as {
    manifests: { digest: string; mediaType: string }[];
  };
  const { digest: manifest, mediaType } = index.manifests[0]!;
  const blobs = [...files].filter(([path]) => path.startsWith("blobs/"));
  for (const [path, content] of blobs) {
    const digest = path.slice("blobs/".length).replace("/", ":");
    if (digest !== manifest) await pushBlob(host, name, digest, content);
  }
  const body = files.get(`blobs/${manifest.replace(":", "/")}`)!;
  await sent(`http://${host}/v2/${name}/manifests/${tag}`, "PUT", body, mediaType);
}

async function pushBlob(host: string, name: string, digest: string, content: Buffer): Promise<void> {
  const started = await sent(`http://${host}/v2/${name}/blobs/uploads/`, "POST", Buffer.alloc(0));
  const location = new URL(started.headers.get("location")!, `http://${host}`);
  location.searchParams.set("digest", digest);
  await sent(location.href, "PUT", content);
}

async function sent(
  url: string,
  method: string,
  body: Buffer,
  type = "application/octet-stream",
): Promise<Response> {
  const headers = { authorization, "content-type": type };
  const response = await fetch(url, { method, headers, body: new Uint8Array(body) });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  return response;
}

async function filesOf(archive: Buffer): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const reader = Readable.from([archive]).pipe(extract());
  for await (const entry of reader) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    files.set(entry.header.name, Buffer.concat(chunks));
  }
  return files;
}
