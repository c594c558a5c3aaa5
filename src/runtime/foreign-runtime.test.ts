/** What CRI-O answers differently from containerd, by a server that speaks CRI as CRI-O does. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  status,
} from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { afterAll, afterEach, expect, test } from "vitest";
import { createWorld, silentLogger } from "#base";
import { connectForeignRuntime, endForeignPods, type NodeRuntime, socketPathOf } from "./foreign-runtime.ts";
import { criMessages, criMethods } from "./generated/cri.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-crio-"));
const world = createWorld({ log: silentLogger });
const types = new protobuf.Root().addJSON({ runtime: { nested: { v1: { nested: criMessages } } } });

type Answer = (request: Record<string, unknown>) => object;
class Refusal extends Error {
  readonly code: status;
  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

const ready = { status: { conditions: [{ type: "RuntimeReady", status: true }] } };
const digest = "5".repeat(64);
const crio: Partial<Record<keyof typeof criMethods, Answer>> = {
  Version: () => ({ runtimeName: "cri-o", runtimeVersion: "1.36.0", runtimeApiVersion: "v1" }),
  Status: () => ready,
  RuntimeConfig: () => ({ linux: { cgroupDriver: "CGROUPFS" } }),
};

let started: { server: Server; open: NodeRuntime[] } = { server: new Server(), open: [] };
let count = 0;
afterEach(async () => {
  for (const each of started.open) await each.release();
  started.server.forceShutdown();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function serviceOf(answers: typeof crio) {
  const service: Record<string, ServiceDefinition[string]> = {};
  const handlers: Record<
    string,
    handleUnaryCall<object, object> | handleServerStreamingCall<object, object>
  > = {};
  for (const [name, answer] of Object.entries(answers) as [keyof typeof criMethods, Answer][]) {
    const [path, requestName, answerName] = criMethods[name];
    const [asked, answered] = [requestName, answerName].map((each) => types.lookupType(`runtime.v1.${each}`));
    const responseStream = name === "GetContainerEvents";
    service[name] = {
      path,
      requestStream: false,
      responseStream,
      requestSerialize: (value: object) => Buffer.from(asked!.encode(value).finish()),
      requestDeserialize: (bytes: Buffer) => asked!.toObject(asked!.decode(bytes), { defaults: true }),
      responseSerialize: (value: object) =>
        Buffer.from(answered!.encode(answered!.fromObject(value)).finish()),
      responseDeserialize: (bytes: Buffer) => answered!.decode(bytes),
    };
    const failureOf = (error: unknown) => {
      const { code = status.UNKNOWN, message } = error as Refusal;
      return { code, details: message };
    };
    const unary: handleUnaryCall<object, object> = ({ request }, done) => {
      try {
        done(null, answer(request as Record<string, unknown>));
      } catch (error) {
        done(failureOf(error));
      }
    };
    const stream: handleServerStreamingCall<object, object> = (call) => {
      try {
        call.write(answer(call.request as Record<string, unknown>));
        call.end();
      } catch (error) {
        call.emit("error", failureOf(error));
      }
    };
    handlers[name] = responseStream ? stream : unary;
  }
  return { service, handlers };
}

/** The endpoint of a server that answers as CRI-O does, but for `more`. */
async function serve(more: typeof crio = {}): Promise<string> {
  const server = new Server();
  const { service, handlers } = serviceOf({ ...crio, ...more });
  server.addService(service, handlers);
  const endpoint = `unix://${join(dir, `${++count}.sock`)}`;
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(endpoint, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  started = { server, open: [] };
  return endpoint;
}

async function connected(more: typeof crio = {}) {
  const node = await connectForeignRuntime(await serve(more), world);
  started.open.push(node);
  return node;
}

test.each([
  ["unix:///run/crio/crio.sock", "/run/crio/crio.sock"],
  ["/run/containerd/containerd.sock", "/run/containerd/containerd.sock"],
])("%s is the socket %s", (endpoint, path) => {
  expect(socketPathOf(endpoint)).toBe(path);
});

test.each(["tcp://127.0.0.1:1234", "crio.sock", "unix://crio.sock", ""])("%j is no socket", (endpoint) => {
  expect(() => socketPathOf(endpoint)).toThrow("containerRuntimeEndpoint");
});

test("a runtime that keeps cgroups itself is taken, and none of its images is ours to keep", async () => {
  const { runtime, sandboxImage } = await connected();
  expect(await runtime.version()).toMatchObject({ runtimeName: "cri-o", runtimeVersion: "1.36.0" });
  expect(sandboxImage).toBeUndefined();
});

test("one that does not say who keeps cgroups is taken at its word", async () => {
  const { RuntimeConfig: _, ...older } = crio;
  const server = new Server();
  const { service, handlers } = serviceOf(older);
  server.addService(service, handlers);
  const endpoint = `unix://${join(dir, "older.sock")}`;
  await new Promise((resolve) => server.bindAsync(endpoint, ServerCredentials.createInsecure(), resolve));
  started = { server, open: [await connectForeignRuntime(endpoint, world)] };
  expect((await started.open[0]!.runtime.version()).runtimeName).toBe("cri-o");
});

test("one that leaves them to systemd is refused, with the mend", async () => {
  const endpoint = await serve({ RuntimeConfig: () => ({ linux: { cgroupDriver: "SYSTEMD" } }) });
  await expect(connectForeignRuntime(endpoint, world)).rejects.toMatchObject({
    message: "cri-o leaves the cgroups of containers to systemd",
    mend: expect.stringContaining('cgroup_manager = "cgroupfs"'),
  });
});

test("where nobody listens the mend says what to start", async () => {
  const endpoint = `unix://${join(dir, "nobody.sock")}`;
  await expect(connectForeignRuntime(endpoint, world, { timeoutMs: 1 })).rejects.toMatchObject({
    message: `the container runtime at ${endpoint} does not answer`,
    mend: expect.stringContaining("systemctl start crio"),
  });
});

test("images have bare ids, and short names are the runtime's to resolve", async () => {
  const asked: unknown[] = [];
  const { runtime } = await connected({
    ImageStatus: ({ image }) => {
      asked.push(image);
      return { image: { id: digest, repoTags: ["quay.io/team/web:1"], size: 5 }, info: {} };
    },
    PullImage: () => {
      throw new Refusal(status.UNKNOWN, 'short-name "web:1" did not resolve to an alias');
    },
  });
  expect(await runtime.imageStatus("web:1")).toMatchObject({ id: digest, repoTags: ["quay.io/team/web:1"] });
  expect(asked).toMatchObject([{ image: "web:1" }]);
  await expect(runtime.pullImage("web:1")).rejects.toThrow('short-name "web:1" did not resolve');
});

test("what containerd alone has is refused in words", async () => {
  const { runtime } = await connected({
    ImageStatus: () => ({ image: { id: digest }, info: { info: '{"imageSpec":{}}' } }),
    ContainerStatus: () => ({ status: { id: "c1" }, info: { info: '{"pid":0}' } }),
  });
  await expect(runtime.mountImage("web:1", join(dir, "image"))).rejects.toThrow(
    "this container runtime cannot mount an image",
  );
  await expect(runtime.signalContainer("c1", "SIGUSR1")).rejects.toThrow("tells no process");
  await expect(runtime.checkpointContainer("c1", "/tmp/c1.tar", 5)).rejects.toMatchObject({
    code: "UNIMPLEMENTED",
  });
});

test("events that are switched off end the stream, and nothing else", async () => {
  const { runtime } = await connected({
    GetContainerEvents: () => {
      throw new Refusal(status.UNKNOWN, "pod events are not enabled");
    },
  });
  const events = runtime.containerEvents(new AbortController().signal);
  await expect(events[Symbol.asyncIterator]().next()).rejects.toThrow("pod events are not enabled");
  expect((await runtime.version()).runtimeName).toBe("cri-o");
});

test("events that are switched on arrive", async () => {
  const { runtime } = await connected({
    GetContainerEvents: () => ({ containerId: "c1", containerEventType: "CONTAINER_STOPPED_EVENT" }),
  });
  const seen = [];
  for await (const { containerId } of runtime.containerEvents(new AbortController().signal))
    seen.push(containerId);
  expect(seen).toEqual(["c1"]);
});

test("handlers, disks and containers that have ended are read as they are told", async () => {
  const features = { userNamespaces: true, recursiveReadOnlyMounts: true };
  const { runtime } = await connected({
    Status: () => ({
      ...ready,
      runtimeHandlers: [
        { name: "crun", features },
        { name: "", features },
      ],
    }),
    ImageFsInfo: () => ({
      imageFilesystems: [{ fsId: { mountpoint: "/var/lib/containers/storage/overlay-images" } }],
      containerFilesystems: [{ fsId: { mountpoint: "/var/lib/containers/storage/overlay-containers" } }],
    }),
    ContainerStatus: () => ({
      status: { id: "c1", state: "CONTAINER_EXITED", exitCode: 137, reason: "OOMKilled", imageRef: digest },
    }),
    ListContainerStats: () => ({
      stats: [{ attributes: { id: "c1" }, writableLayer: { usedBytes: { value: 7 } } }],
    }),
  });
  expect((await runtime.status()).runtimeHandlers.map(({ name }) => name)).toEqual(["crun", ""]);
  expect(await runtime.imageFsInfo()).toMatchObject([
    { fsId: { mountpoint: "/var/lib/containers/storage/overlay-images" } },
  ]);
  expect(await runtime.containerStatus("c1")).toMatchObject({ reason: "OOMKilled", imageRef: digest });
  const [stats] = await runtime.listContainerStats();
  expect(stats?.writableLayer?.usedBytes?.value).toBe(7);
});

test("its pods end in order, and a runtime that is away keeps nobody waiting", async () => {
  const calls: string[] = [];
  const note = (name: string) => (request: Record<string, unknown>) => {
    calls.push(`${name} ${request.containerId ?? request.podSandboxId}`);
    return {};
  };
  const endpoint = await serve({
    ListContainers: () => ({
      containers: [
        { id: "c1", state: "CONTAINER_RUNNING" },
        { id: "c2", state: "CONTAINER_EXITED" },
      ],
    }),
    ListPodSandbox: () => ({ items: [{ id: "s1" }] }),
    StopContainer: note("stop"),
    StopPodSandbox: note("stop"),
    RemovePodSandbox: note("remove"),
  });
  await endForeignPods(endpoint, world);
  expect(calls).toEqual(["stop c1", "stop s1", "remove s1"]);
  await endForeignPods(`unix://${join(dir, "nobody.sock")}`, world, 1);
  expect(calls).toHaveLength(3);
});
