import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { createWorld, silentLogger, VirtualClock } from "#base";
import { createManifests } from "./folder.ts";
import { isStatic } from "./manifest.ts";
import { createUrlManifests, podsOf } from "./url.ts";

const podOf = (name: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: { containers: [{ name: "main", image: "web:1" }] },
});
const place = { url: "http://pods/", nodeName: "node-1", nowMs: 0 };
const namesOf = (content: unknown) =>
  podsOf(typeof content === "string" ? content : JSON.stringify(content), place).map(
    (pod) => pod.metadata.name,
  );

test("one pod, or a list of them, is an answer; anything else is not", () => {
  expect(namesOf(podOf("a"))).toEqual(["a-node-1"]);
  const { apiVersion, kind, ...bare } = podOf("b");
  expect([apiVersion, kind]).toEqual(["v1", "Pod"]);
  expect(namesOf({ apiVersion: "v1", kind: "PodList", items: [podOf("a"), bare] })).toEqual([
    "a-node-1",
    "b-node-1",
  ]);
  expect(namesOf({ apiVersion: "v1", kind: "PodList", items: [] })).toEqual([]);
  expect(() => namesOf({ apiVersion: "v1", kind: "PodList", items: [podOf("a"), { spec: 1 }] })).toThrow();
  expect(() => namesOf(" ")).toThrow("zero-length data received from http://pods/");
  const [pod] = podsOf(JSON.stringify(podOf("a")), place);
  expect(isStatic(pod!)).toBe(true);
  expect(pod!.metadata.annotations?.["kubernetes.io/config.source"]).toBe("http");
});

test("whatever a server answers, it is pods or a reason", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (content) => {
      const attempt = (): unknown => {
        try {
          return namesOf(content);
        } catch (error) {
          return error;
        }
      };
      const answer = attempt();
      expect(Array.isArray(answer) || answer instanceof Error).toBe(true);
    }),
  );
});

async function setUp() {
  const dir = mkdtempSync(join(tmpdir(), "knarr-static-url-"));
  const state = {
    status: 200,
    body: JSON.stringify(podOf("a")),
    questions: 0,
    headers: {} as IncomingHttpHeaders,
  };
  const server = createServer((request, response) => {
    state.questions++;
    state.headers = request.headers;
    response.writeHead(state.status).end(state.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const clock = new VirtualClock();
  const world = createWorld({ clock, log: silentLogger });
  const file = join(dir, "last");
  const source = { url: `http://127.0.0.1:${port}/`, headers: { "x-token": ["abc"] }, checkMs: 20_000 };
  const create = () => {
    const fromUrl = createUrlManifests(source, { nodeName: "node-1", file, world });
    onTestFinished(() => fromUrl.stop());
    return createManifests({ path: "", nodeName: "node-1", world, fromUrl });
  };
  onTestFinished(() => {
    server.close();
    rmSync(dir, { recursive: true, force: true });
  });
  return { state, clock, create, file };
}

test("pods are asked for from time to time; an answer that is none takes none away, nor does a new kubelet", async () => {
  const { state, clock, create, file } = await setUp();
  const manifests = create();
  const names = () => [...manifests.pods().keys()];
  await manifests.load();
  expect(names()).toEqual(["default/a-node-1"]);
  expect(state.headers["x-token"]).toBe("abc");
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await manifests.load();
  expect(state.questions).toBe(1);
  const askAgain = async () => {
    const before = state.questions;
    await clock.advance(20_000);
    await manifests.load();
    while (state.questions === before) await setImmediate();
  };
  state.body = "nothing of the kind";
  await askAgain();
  await askAgain();
  expect(names()).toEqual(["default/a-node-1"]);
  state.body = JSON.stringify(podOf("b"));
  await askAgain();
  while (names()[0] !== "default/b-node-1") await setImmediate();
  while (!readFileSync(file, "utf8").includes('"b"')) await setImmediate();
  state.status = 500;
  const next = create();
  await next.load();
  expect([...next.pods().keys()]).toEqual(["default/b-node-1"]);
});
