/** A driver of dynamic resources for tests: a real gRPC server, which prepares what it is asked and notes it. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import protobuf from "protobufjs";
import {
  type ClaimReference,
  claimMessages,
  claimMethodsOf,
  type PreparedDevice,
} from "../claims/drivers.ts";
import { healthMessages, healthMethods, type ToldHealth } from "../claims/health.ts";
import { registrationMessages, registrationMethods } from "../generated/plugins.ts";

type Message = Record<string, unknown>;

export interface TestClaimDriver {
  readonly prepared: string[];
  readonly unprepared: string[];
  /** Kubelets that listen to how the devices are. */
  readonly listening: number;
  /** Tells them. */
  tell(devices: readonly Partial<ToldHealth>[]): void;
  /** Ends their streams. */
  hangUp(): void;
  stop(): void;
}

const types = protobuf.Root.fromJSON({
  nested: { ...claimMessages, ...healthMessages, pluginregistration: { nested: registrationMessages } },
});

function definitionOf(
  [path, requestName, answerName]: readonly [string, string, string],
  responseStream = false,
) {
  const [asked, answered] = [types.lookupType(requestName), types.lookupType(answerName)];
  return {
    path,
    requestStream: false,
    responseStream,
    requestSerialize: (value: Message) => Buffer.from(asked.encode(value).finish()),
    requestDeserialize: (bytes: Buffer) => asked.toObject(asked.decode(bytes), { defaults: true }) as Message,
    responseSerialize: (value: object) => Buffer.from(answered.encode(answered.fromObject(value)).finish()),
    responseDeserialize: (bytes: Buffer) => answered.decode(bytes),
  };
}

function serve(
  server: Server,
  methods: Readonly<Record<string, readonly [string, string, string]>>,
  answer: (method: string, request: Message) => object,
): void {
  for (const [name, method] of Object.entries(methods)) {
    const handler: handleUnaryCall<Message, object> = ({ request }, callback) =>
      callback(null, answer(name, request));
    server.addService({ [name]: definitionOf(method) }, { [name]: handler as never });
  }
}

/** Whoever listens to how the devices are. */
function serveHealth(server: Server): Set<ServerWritableStream<Message, object>> {
  const streams = new Set<ServerWritableStream<Message, object>>();
  const handler: handleServerStreamingCall<Message, object> = (stream) => {
    streams.add(stream);
    stream.on("cancelled", () => streams.delete(stream));
  };
  server.addService({ watch: definitionOf(healthMethods.watch, true) }, { watch: handler as never });
  return streams;
}

const listen = (server: Server, socketPath: string) =>
  new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${socketPath}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });

/** `root`: the kubelet's folder. Every claim gets `devices`. */
export async function startTestClaimDriver(
  root: string,
  name: string,
  devices: readonly PreparedDevice[],
): Promise<TestClaimDriver> {
  const prepared: string[] = [];
  const unprepared: string[] = [];
  const [driver, registrar] = [new Server(), new Server()];
  mkdirSync(join(root, "plugins", name), { recursive: true });
  mkdirSync(join(root, "plugins_registry"), { recursive: true });
  const endpoint = join(root, "plugins", name, "dra.sock");
  serve(driver, claimMethodsOf("v1"), (method, request) => {
    const claims = request.claims as ClaimReference[];
    (method === "prepare" ? prepared : unprepared).push(...claims.map((claim) => claim.name));
    return {
      claims: claims.map(({ uid }) => ({ key: uid, value: method === "prepare" ? { devices } : {} })),
    };
  });
  serve(registrar, registrationMethods, (method) =>
    method === "GetInfo"
      ? { type: "DRAPlugin", name, endpoint, supportedVersions: ["v1.DRAPlugin", "v1beta1.DRAPlugin"] }
      : {},
  );
  const streams = serveHealth(driver);
  await listen(driver, endpoint);
  await listen(registrar, join(root, "plugins_registry", `${name}-reg.sock`));
  return {
    prepared,
    unprepared,
    get listening() {
      return streams.size;
    },
    tell(told) {
      for (const stream of streams) stream.write({ devices: told });
    },
    hangUp() {
      for (const stream of streams) stream.end();
      streams.clear();
    },
    stop() {
      driver.forceShutdown();
      registrar.forceShutdown();
    },
  };
}
