/**
 * `ContainerRuntime` over gRPC on a unix socket. Every call has a deadline; the channel reconnects by itself, and a
 * runtime that is still starting is waited for within the deadline.
 * https://github.com/kubernetes/cri-api
 */
import {
  type ChannelCredentials,
  Client,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { Channel, type Clock } from "#base";
import {
  type Container,
  type ContainerEvent,
  type ContainerRuntime,
  type ContainerStats,
  type ContainerStatus,
  type ExecSyncResult,
  type FilesystemUsage,
  type Image,
  type PodSandbox,
  type PodSandboxStatus,
  type RuntimeCondition,
  RuntimeError,
  type RuntimeStatus,
  type RuntimeVersion,
} from "#contracts";
import { decodeExit, encodeSubscription, subscribePath } from "./containerd-events.ts";
import { criMessages, criMethods } from "./generated/cri.ts";
import { type ImageMounts, imageMounts, type RawCall } from "./image-mounts.ts";

type Method = keyof typeof criMethods;

export interface RuntimeConnection extends ContainerRuntime {
  /** Who keeps the cgroups of containers; undefined where the runtime does not say so. */
  cgroupDriver(): Promise<"SYSTEMD" | "CGROUPFS" | undefined>;
  close(): void;
}

const messageMaxBytes = 16 * 1024 * 1024;
/** Upstream's `runtimeRequestTimeout`, where nobody says otherwise. */
const callTimeoutMs = 2 * 60_000;
/** A pull ends by containerd's own progress timeout; this only bounds a runtime that hangs. */
const pullTimeoutMs = 60 * 60_000;
/** How many events may wait for a slow reader; then the stream ends and the reader relists. */
const eventsMax = 4096;

const types = new protobuf.Root().addJSON({ runtime: { nested: { v1: { nested: criMessages } } } });

const decoding = { longs: Number, enums: String, defaults: true, arrays: true, objects: true };

interface Codec {
  path: string;
  encode(request: object): Buffer;
  decode(bytes: Buffer): object;
}

function makeCodec(method: Method): Codec {
  const [path, requestName, responseName] = criMethods[method];
  const request = types.lookupType(`runtime.v1.${requestName}`);
  const response = types.lookupType(`runtime.v1.${responseName}`);
  return {
    path,
    encode: (value) => Buffer.from(request.encode(request.fromObject(value)).finish()),
    decode: (bytes) => response.toObject(response.decode(bytes), decoding),
  };
}

/** containerd answers this while its CRI plugin still starts. */
const isStarting = (error: ServiceError) =>
  /server is not initialized yet|not.*initialized/i.test(error.details ?? "");

/** One connection to the runtime behind `socketPath`. */
export function connectRuntime(options: {
  socketPath: string;
  clock: Clock;
  /** How long it may take over what takes no long time by its nature. */
  requestMs?: number | undefined;
}): RuntimeConnection {
  const { clock, requestMs = callTimeoutMs } = options;
  const insecure: ChannelCredentials = credentials.createInsecure();
  const client = new Client(`unix://${options.socketPath}`, insecure, {
    "grpc.default_authority": "localhost",
    "grpc.max_receive_message_length": messageMaxBytes,
    "grpc.max_send_message_length": messageMaxBytes,
    "grpc.initial_reconnect_backoff_ms": 50,
    "grpc.min_reconnect_backoff_ms": 50,
    "grpc.max_reconnect_backoff_ms": 1000,
  });
  const codecs = new Map<Method, Codec>();
  const codecOf = (method: Method): Codec => {
    const known = codecs.get(method);
    if (known) return known;
    const made = makeCodec(method);
    codecs.set(method, made);
    return made;
  };

  const once = (method: Method, request: object, deadlineMs: number): Promise<object> => {
    const codec = codecOf(method);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        codec.path,
        codec.encode,
        codec.decode,
        request,
        new Metadata({ waitForReady: true }),
        { deadline: deadlineMs },
        (error, answer) => (error ? reject(error) : resolve(answer ?? {})),
      );
    });
  };

  async function call<R>(method: Method, request: object, timeoutMs = requestMs): Promise<R> {
    const deadlineMs = clock.now() + timeoutMs;
    for (;;) {
      try {
        return (await once(method, request, deadlineMs)) as R;
      } catch (error) {
        const failure = error as ServiceError;
        if (!isStarting(failure) || clock.now() > deadlineMs - 200) {
          throw new RuntimeError(status[failure.code] ?? "UNKNOWN", failure.details || failure.message);
        }
        await clock.sleep(100);
      }
    }
  }

  return {
    ...sandboxCalls(call, requestMs),
    ...containerCalls(call, requestMs),
    ...imageCalls(call),
    ...imageMountCalls(call, imageMounts(rawCallOf(client, clock)), clock),
    containerEvents,
    close: () => client.close(),
  };

  async function* containerEvents(signal: AbortSignal): AsyncGenerator<ContainerEvent> {
    const { path, encode, decode } = codecOf("GetContainerEvents");
    try {
      yield* streamOf(client, path, encode, (bytes) => decode(bytes) as ContainerEvent, signal);
    } catch (error) {
      if (!(error instanceof RuntimeError) || error.code !== "UNIMPLEMENTED") throw error;
      yield* streamOf(client, subscribePath, encodeSubscription, decodeExit, signal);
    }
  }
}

/** What a server streams, until the signal aborts; answers that decode to nothing are left out. */
async function* streamOf<T>(
  client: Client,
  path: string,
  encode: (request: object) => Buffer,
  decode: (bytes: Buffer) => T | undefined,
  signal: AbortSignal,
): AsyncGenerator<T> {
  const queue = new Channel<T>(eventsMax);
  const stream = client.makeServerStreamRequest(path, encode, decode, {}, new Metadata());
  const stop = () => stream.cancel();
  signal.addEventListener("abort", stop, { once: true });
  stream.on("data", (item: T | undefined) => {
    if (item !== undefined && !queue.push(item)) stream.cancel();
  });
  stream.on("end", () => queue.close());
  stream.on("error", (error: ServiceError) => {
    queue.close(
      signal.aborted ? undefined : new RuntimeError(status[error.code] ?? "UNKNOWN", error.details),
    );
  });
  try {
    yield* queue;
  } finally {
    signal.removeEventListener("abort", stop);
    stream.cancel();
  }
}

type StatusAnswer = Omit<RuntimeStatus, "conditions"> & { status?: { conditions: RuntimeCondition[] } };

interface RuntimeConfigAnswer {
  linux?: { cgroupDriver: "SYSTEMD" | "CGROUPFS" } | null;
}

type Call = <R>(method: Method, request: object, timeoutMs?: number) => Promise<R>;

function sandboxCalls(call: Call, requestMs: number) {
  return {
    version: () => call<RuntimeVersion>("Version", { version: "v1" }),
    status: async (): Promise<RuntimeStatus> => {
      const answer = await call<StatusAnswer>("Status", {}, 10_000);
      const { status: health, runtimeHandlers, features } = answer;
      return { conditions: health?.conditions ?? [], runtimeHandlers, ...(features ? { features } : {}) };
    },
    cgroupDriver: async () => {
      try {
        return (await call<RuntimeConfigAnswer>("RuntimeConfig", {}, 10_000)).linux?.cgroupDriver;
      } catch (error) {
        if (error instanceof RuntimeError && error.code === "UNIMPLEMENTED") return undefined;
        throw error;
      }
    },
    updatePodCidr: async (podCidr: string) => {
      await call("UpdateRuntimeConfig", { runtimeConfig: { networkConfig: { podCidr } } });
    },
    runPodSandbox: async (config: object, runtimeHandler = "") =>
      (await call<{ podSandboxId: string }>("RunPodSandbox", { config, runtimeHandler }, 2 * requestMs))
        .podSandboxId,
    stopPodSandbox: async (podSandboxId: string) => void (await call("StopPodSandbox", { podSandboxId })),
    removePodSandbox: async (podSandboxId: string) => void (await call("RemovePodSandbox", { podSandboxId })),
    podSandboxStatus: async (podSandboxId: string) =>
      (await call<{ status: PodSandboxStatus }>("PodSandboxStatus", { podSandboxId })).status,
    listPodSandboxes: async (labels?: Record<string, string>) => {
      const filter = labels ? { labelSelector: labels } : undefined;
      return (await call<{ items: PodSandbox[] }>("ListPodSandbox", { filter })).items;
    },
    portForward: async (podSandboxId: string, port: number[]) =>
      (await call<{ url: string }>("PortForward", { podSandboxId, port })).url,
  };
}

function containerCalls(call: Call, requestMs: number) {
  return {
    createContainer: async (podSandboxId: string, config: object, sandboxConfig: object) =>
      (await call<{ containerId: string }>("CreateContainer", { podSandboxId, config, sandboxConfig }))
        .containerId,
    startContainer: async (containerId: string) => void (await call("StartContainer", { containerId })),
    stopContainer: async (containerId: string, timeout: number) =>
      void (await call("StopContainer", { containerId, timeout }, requestMs + timeout * 1000)),
    signalContainer: async (containerId: string, signal: string) => {
      const request = { containerId, verbose: true };
      const { info } = await call<{ info?: Record<string, string> }>("ContainerStatus", request);
      const { pid = 0 } = JSON.parse(info?.info ?? "{}") as { pid?: number };
      if (!(pid > 1)) throw new RuntimeError("UNIMPLEMENTED", "the container runtime tells no process");
      process.kill(pid, signal as NodeJS.Signals);
    },
    removeContainer: async (containerId: string) => void (await call("RemoveContainer", { containerId })),
    listContainers: async (labels?: Record<string, string>) => {
      const filter = labels ? { labelSelector: labels } : undefined;
      return (await call<{ containers: Container[] }>("ListContainers", { filter })).containers;
    },
    containerStatus: async (containerId: string) =>
      (await call<{ status: ContainerStatus }>("ContainerStatus", { containerId })).status,
    updateContainerResources: async (containerId: string, linux: object) =>
      void (await call("UpdateContainerResources", { containerId, linux })),
    checkpointContainer: async (containerId: string, location: string, timeout: number) =>
      void (await call("CheckpointContainer", { containerId, location, timeout }, timeout * 1000)),
    reopenContainerLog: async (containerId: string) =>
      void (await call("ReopenContainerLog", { containerId })),
    execSync: (containerId: string, cmd: string[], timeout: number) =>
      call<ExecSyncResult>(
        "ExecSync",
        { containerId, cmd, timeout },
        timeout > 0 ? timeout * 1000 + 5000 : pullTimeoutMs,
      ),
    exec: async (containerId: string, cmd: string[], options: object) =>
      (await call<{ url: string }>("Exec", { containerId, cmd, ...options })).url,
    attach: async (containerId: string, options: object) =>
      (await call<{ url: string }>("Attach", { containerId, ...options })).url,
    listContainerStats: async () =>
      (await call<{ stats: ContainerStats[] }>("ListContainerStats", { filter: {} })).stats,
  };
}

function imageCalls(call: Call) {
  return {
    listImages: async () => (await call<{ images: Image[] }>("ListImages", {})).images,
    imageStatus: async (image: string) =>
      (await call<{ image?: Image | null }>("ImageStatus", { image: { image } })).image ?? undefined,
    pullImage: async (image: string, auth?: object, sandboxConfig?: object) =>
      (
        await call<{ imageRef: string }>(
          "PullImage",
          { image: { image }, auth, sandboxConfig },
          pullTimeoutMs,
        )
      ).imageRef,
    removeImage: async (image: string) => void (await call("RemoveImage", { image: { image } })),
    imageFsInfo: async () =>
      (await call<{ imageFilesystems: FilesystemUsage[] }>("ImageFsInfo", {})).imageFilesystems,
  };
}

/** Calls of services beside CRI's, in bytes. */
function rawCallOf(client: Client, clock: Clock): RawCall {
  const asIs = (bytes: Buffer) => bytes;
  return (path, request, metadata) =>
    new Promise((resolve, reject) => {
      const deadline = clock.now() + callTimeoutMs;
      client.makeUnaryRequest(path, asIs, asIs, request, metadata, { deadline }, (error, answer) => {
        if (error) reject(new RuntimeError(status[error.code] ?? "UNKNOWN", error.details || error.message));
        else resolve(answer ?? Buffer.alloc(0));
      });
    });
}

/** The name of an image's topmost layer with all below it, as containerd tells it. */
async function chainIdOf(call: Call, image: string): Promise<string> {
  const request = { image: { image }, verbose: true };
  const { info } = await call<{ info?: Record<string, string> }>("ImageStatus", request);
  const { chainID = "" } = JSON.parse(info?.info ?? "{}") as { chainID?: string };
  if (!chainID) throw new RuntimeError("UNIMPLEMENTED", "this container runtime cannot mount an image");
  return chainID;
}

function imageMountCalls(call: Call, mounts: ImageMounts, clock: Clock) {
  return {
    mountImage: async (image: string, target: string) =>
      mounts.mountImage(await chainIdOf(call, image), target, clock.now()),
    unmountImage: (target: string) => mounts.unmountImage(target),
  };
}
