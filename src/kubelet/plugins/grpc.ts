/**
 * Calls to plugins of the kubelet: gRPC over a unix socket, each with a deadline. A plugin is not trusted to answer, or
 * to answer little. https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
 */
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import type { Clock } from "#base";

export interface PluginConnection<Method extends string> {
  /** Throws `PluginError`. */
  call<R>(method: Method, request: object, timeoutMs?: number): Promise<R>;
  /** What the plugin streams, until it ends the stream or the signal aborts. Throws `PluginError`. */
  watch<R>(
    method: Method,
    request: object,
    onAnswer: (answer: R) => void,
    signal: AbortSignal,
  ): Promise<void>;
  close(): void;
}

/** What the plugin answered, in the words of Go's gRPC: `rpc error: code = Internal desc = …`. */
export class PluginError extends Error {
  override name = "PluginError";
  readonly code: string;
  constructor(code: string, detail: string) {
    super(`rpc error: code = ${code} desc = ${detail}`);
    this.code = code;
  }
}

const callTimeoutMs = 2 * 60_000;
const messageMaxBytes = 16 * 1024 * 1024;
const decoding = { longs: Number, enums: String, defaults: true, arrays: true, objects: true };

/** `DEADLINE_EXCEEDED` is `DeadlineExceeded` in Go. */
function goName(code: number): string {
  const words = (status[code] ?? "UNKNOWN").split("_");
  return words
    .map((word) => word[0] + word.slice(1).toLowerCase())
    .join("")
    .replace("Ok", "OK");
}

/** `packages`: the messages by package, such as `csi.v1`. */
export function connectPlugin<Method extends string>(options: {
  socketPath: string;
  clock: Clock;
  methods: Readonly<Record<Method, readonly [string, string, string]>>;
  messages: protobuf.INamespace;
}): PluginConnection<Method> {
  const { clock, methods } = options;
  const types = protobuf.Root.fromJSON(options.messages);
  const client = new Client(`unix://${options.socketPath}`, credentials.createInsecure(), {
    "grpc.default_authority": "localhost",
    "grpc.max_receive_message_length": messageMaxBytes,
    "grpc.initial_reconnect_backoff_ms": 50,
    "grpc.min_reconnect_backoff_ms": 50,
    "grpc.max_reconnect_backoff_ms": 1000,
  });
  return {
    call<R>(method: Method, request: object, timeoutMs = callTimeoutMs) {
      const [path, requestName, answerName] = methods[method];
      const asked = types.lookupType(requestName);
      const answered = types.lookupType(answerName);
      return new Promise<R>((resolve, reject) => {
        client.makeUnaryRequest(
          path,
          (value: object) => Buffer.from(asked.encode(asked.fromObject(value)).finish()),
          (bytes: Buffer) => answered.toObject(answered.decode(bytes), decoding) as R,
          request,
          new Metadata(),
          { deadline: clock.now() + timeoutMs },
          (error: ServiceError | null, answer) => {
            if (error) reject(new PluginError(goName(error.code), error.details || error.message));
            else resolve(answer as R);
          },
        );
      });
    },
    watch<R>(method: Method, request: object, onAnswer: (answer: R) => void, signal: AbortSignal) {
      const [path, requestName, answerName] = methods[method];
      const asked = types.lookupType(requestName);
      const answered = types.lookupType(answerName);
      return new Promise<void>((resolve, reject) => {
        const stream = client.makeServerStreamRequest(
          path,
          (value: object) => Buffer.from(asked.encode(asked.fromObject(value)).finish()),
          (bytes: Buffer) => answered.toObject(answered.decode(bytes), decoding) as R,
          request,
          new Metadata({ waitForReady: false }),
        );
        signal.addEventListener("abort", () => stream.cancel(), { once: true });
        stream.on("data", onAnswer);
        stream.on("end", resolve);
        stream.on("error", (error: ServiceError) => {
          if (signal.aborted) resolve();
          else reject(new PluginError(goName(error.code), error.details || error.message));
        });
      });
    },
    close: () => client.close(),
  };
}
