/** A client that speaks nothing but protobuf, as client-go may: objects, lists, watches, options, answers. */
import { type ClientHttp2Session, connect } from "node:http2";
import { afterAll, beforeAll, expect, it } from "vitest";
import { decodeProtobuf, encodeProtobuf, type KubernetesObject, pods, replicaSets } from "#api";
import { type SecureServer, startSecureServer, staticToken } from "./fixtures/secure-server.ts";

const type = "application/vnd.kubernetes.protobuf";
let server: SecureServer;
let session: ClientHttp2Session;

beforeAll(async () => {
  server = await startSecureServer();
  session = connect(server.api.url, { ca: server.authority.cert });
});
afterAll(async () => {
  session?.close();
  await server?.stop();
});

interface Answer {
  status: number;
  type: string;
  bytes: Buffer;
}

async function send(method: string, path: string, object?: unknown, framesMax?: number): Promise<Answer> {
  const body = object === undefined ? undefined : encodeProtobuf(object as KubernetesObject)!;
  const headers = { accept: type, authorization: `Bearer ${staticToken}`, "content-type": type };
  const stream = session.request({ ":method": method, ":path": path, ...headers }, { endStream: !body });
  if (body) stream.end(body);
  const head = await new Promise<Record<string, unknown>>((resolve) => stream.once("response", resolve));
  const chunks: Buffer[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
    if (framesMax !== undefined && framesIn(Buffer.concat(chunks)).length >= framesMax) break;
  }
  return {
    status: Number(head[":status"]),
    type: String(head["content-type"]),
    bytes: Buffer.concat(chunks),
  };
}

async function ask(method: string, path: string, object?: unknown) {
  const { bytes, ...answer } = await send(method, path, object);
  expect(answer.type).toBe(type);
  return {
    status: answer.status,
    object: decodeProtobuf(bytes) as Record<string, unknown> & KubernetesObject,
  };
}

/** Frames of a watch: four bytes of length, then a `WatchEvent` without an envelope: its type, then the object. */
function framesIn(bytes: Buffer): { type: string; object: KubernetesObject }[] {
  const frames: { type: string; object: KubernetesObject }[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    const frame = bytes.subarray(at + 4, at + 4 + length);
    if (frame.length < length) break;
    const typeLength = frame[1]!;
    const object = frame.subarray(frame.indexOf("k8s\0", 2 + typeLength));
    frames.push({
      type: frame.toString("utf8", 2, 2 + typeLength),
      object: decodeProtobuf(object) as unknown as KubernetesObject,
    });
    at += 4 + length;
  }
  return frames;
}

const path = "/api/v1/namespaces/default/pods";
const template = { metadata: { labels: { app: "a" } }, spec: { containers: [{ name: "c", image: "i" }] } };
const pod = (name: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels: { app: "a" } },
  spec: template.spec,
});

it("objects, lists and watches", async () => {
  const created = await ask("POST", path, pod("one"));
  expect(created).toMatchObject({ status: 201, object: { kind: "Pod", metadata: { name: "one" } } });
  const inJson = await server.client.get(pods, { namespace: "default", name: "one" });
  expect((await ask("GET", `${path}/one`)).object).toEqual(inJson);
  const list = await ask("GET", path);
  expect(list.object).toMatchObject({ kind: "PodList", items: [{ metadata: { name: "one" } }] });
  const { resourceVersion } = list.object.metadata;
  const watching = send("GET", `${path}?watch=1&resourceVersion=${resourceVersion}`, undefined, 3);
  await ask("POST", path, pod("two"));
  await ask("PUT", `${path}/one`, {
    ...created.object,
    metadata: { ...created.object.metadata, labels: { app: "b" } },
  });
  const options = {
    apiVersion: "v1",
    kind: "DeleteOptions",
    gracePeriodSeconds: 0,
    preconditions: { uid: created.object.metadata.uid },
  };
  expect((await ask("DELETE", `${path}/one`, options)).status).toBe(200);
  const frames = framesIn((await watching).bytes);
  expect((await watching).type).toBe(`${type};stream=watch`);
  expect(frames.map((frame) => [frame.type, frame.object.metadata.name])).toEqual([
    ["ADDED", "two"],
    ["MODIFIED", "one"],
    ["DELETED", "one"],
  ]);
});

it("subresources of other kinds", async () => {
  const rs = await server.client.create(replicaSets, {
    metadata: { name: "rs", namespace: "default" },
    spec: { replicas: 1, selector: { matchLabels: { app: "a" } }, template },
  });
  const scalePath = "/apis/apps/v1/namespaces/default/replicasets/rs/scale";
  const scale = await ask("GET", scalePath);
  expect(scale.object).toMatchObject({ kind: "Scale", apiVersion: "autoscaling/v1", spec: { replicas: 1 } });
  const scaled = await ask("PUT", scalePath, { ...scale.object, spec: { replicas: 3 } });
  expect(scaled.object).toMatchObject({ spec: { replicas: 3 } });
  expect(
    (await server.client.get(replicaSets, rs.metadata as { namespace: string; name: string })).spec.replicas,
  ).toBe(3);
  await ask("POST", path, pod("evicted"));
  const eviction = {
    apiVersion: "policy/v1",
    kind: "Eviction",
    metadata: { name: "evicted", namespace: "default" },
  };
  expect(await ask("POST", `${path}/evicted/eviction`, eviction)).toMatchObject({
    status: 201,
    object: { kind: "Status", status: "Success" },
  });
  const request = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: { audiences: [], expirationSeconds: 600 },
  };
  const token = await ask("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", request);
  expect(token).toMatchObject({
    status: 201,
    object: { kind: "TokenRequest", status: { token: expect.stringMatching(/^ey/) } },
  });
});

it("refusals", async () => {
  expect(await ask("GET", `${path}/none`)).toMatchObject({
    status: 404,
    object: { kind: "Status", reason: "NotFound", code: 404, details: { name: "none", kind: "pods" } },
  });
  expect(await ask("POST", path, { ...pod("A b"), spec: {} })).toMatchObject({
    status: 422,
    object: { kind: "Status", reason: "Invalid" },
  });
});
