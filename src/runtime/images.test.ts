import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { extract } from "tar-stream";
import { afterAll, expect, test } from "vitest";
import { systemClock, UserError } from "#base";
import { RuntimeError } from "#contracts";
import { connectRuntime } from "./cri-client.ts";
import { buildImage, busyboxLayer } from "./image-builder.ts";
import { completeIndex, imageStore, namesOf } from "./images.ts";
import { pauseImage, pauseProgram } from "./pause-image.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-images-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function entriesOf(tar: Buffer): Promise<Map<string, Buffer>> {
  const entries = new Map<string, Buffer>();
  for await (const entry of Readable.from([tar]).pipe(extract())) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    entries.set(entry.header.name, Buffer.concat(chunks));
  }
  return entries;
}

test("an image is an OCI layout whose digests agree, and the same source gives the same bytes", async () => {
  const source = {
    name: "web:1",
    layers: [[{ path: "/etc/motd", content: "hi" }]],
    config: { cmd: ["sh"], exposedPorts: ["80/tcp"] },
  };
  const tar = await buildImage(source);
  expect(await buildImage(source)).toEqual(tar);
  const entries = await entriesOf(tar);
  const index = JSON.parse(entries.get("index.json")!.toString());
  expect(namesOf(index, undefined)).toEqual(["docker.io/library/web:1"]);
  const manifest = JSON.parse(
    entries.get(`blobs/${index.manifests[0].digest.replace(":", "/")}`)!.toString(),
  );
  const config = JSON.parse(entries.get(`blobs/${manifest.config.digest.replace(":", "/")}`)!.toString());
  expect(config.config.ExposedPorts).toEqual({ "80/tcp": {} });
  expect(config.rootfs.diff_ids).toEqual([manifest.layers[0].digest]);
  const layer = await entriesOf(entries.get(`blobs/${manifest.layers[0].digest.replace(":", "/")}`)!);
  expect(layer.get("etc/motd")!.toString()).toBe("hi");
});

test("busybox brings its applets as links", () => {
  const layer = busyboxLayer("/bin/busybox", ["busybox", "sh", "wget"]);
  expect(layer.filter((f) => f.linkTo).map((f) => f.path)).toEqual(["bin/sh", "bin/wget"]);
});

test("the pause program is a small ELF for both architectures, and no other", async () => {
  for (const [architecture, machine] of [
    ["amd64", 62],
    ["arm64", 183],
  ] as const) {
    const elf = pauseProgram(architecture)!;
    expect(elf.length).toBeLessThanOrEqual(200);
    expect(elf.readUInt32BE(0)).toBe(0x7f454c46);
    expect(elf.readUInt16LE(18)).toBe(machine);
    // The address of SIG_IGN's structure, as the program computes it, is where the structure lies.
    expect(elf.readBigUInt64LE(elf.length - 32)).toBe(1n);
    expect(Number(elf.readBigUInt64LE(96))).toBe(elf.length);
  }
  expect(pauseProgram("mips")).toBeUndefined();
  expect(await pauseImage("mips")).toBeUndefined();
});

test("names come from either table of contents; a foreign annotation is completed", () => {
  expect(namesOf(undefined, [{ RepoTags: ["web:1", "web:2"] }, { RepoTags: null }])).toEqual([
    "docker.io/library/web:1",
    "docker.io/library/web:2",
  ]);
  const index = { manifests: [{ annotations: { "org.opencontainers.image.ref.name": "localhost/web:1" } }] };
  expect(completeIndex(index)).toBe(true);
  expect(index.manifests[0]!.annotations).toMatchObject({ "io.containerd.image.name": "localhost/web:1" });
  expect(completeIndex(index)).toBe(false);
});

test("what is no image archive is refused with a sentence", async () => {
  const runtime = connectRuntime({ socketPath: join(dir, "no.sock"), clock: systemClock });
  const store = imageStore({
    socketPath: join(dir, "no.sock"),
    runtime,
    clock: systemClock,
    scratchDir: dir,
  });
  writeFileSync(join(dir, "noise"), Buffer.alloc(5000, 7));
  writeFileSync(join(dir, "broken.gz"), Buffer.from([0x1f, 0x8b, 1, 2, 3]));
  await expect(store.import(join(dir, "absent"))).rejects.toThrow("does not exist");
  await expect(store.import(join(dir, "noise"))).rejects.toThrow(UserError);
  await expect(store.import(join(dir, "broken.gz"))).rejects.toThrow("is damaged");
  await expect(store.import(dir)).rejects.toThrow("is no OCI layout");
  runtime.close();
});

test("a runtime that is not there fails the call within its deadline, with gRPC's reason", async () => {
  let nowMs = 0;
  const clock = {
    ...systemClock,
    now: () => systemClock.now() - 119_500 + nowMs++,
    sleep: systemClock.sleep.bind(systemClock),
  };
  const runtime = connectRuntime({ socketPath: join(dir, "no.sock"), clock });
  const error = await runtime.version().catch((e: unknown) => e);
  expect(error).toBeInstanceOf(RuntimeError);
  expect((error as RuntimeError).code).toBe("DEADLINE_EXCEEDED");
  runtime.close();
});
