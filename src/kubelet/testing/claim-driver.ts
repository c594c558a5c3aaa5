/** A driver of dynamic resources for tests: a real gRPC server, which prepares what it is asked and notes it. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import {
  type ClaimReference,
  claimMessages,
  claimMethodsOf,
  type PreparedDevice,
} from "../claims/drivers.ts";
import { registrationMessages, registrationMethods } from "../generated/plugins.ts";

type Message = Record<string, unknown>;

export interface TestClaimDriver {
  readonly prepared: string[];
  readonly unprepared: string[];
  stop(): void;
}

const types = protobuf.Root.fromJSON({
  nested: { ...claimMessages, pluginregistration: { nested: registrationMessages } },
});

function serve(
  server: Server,
  methods: Readonly<Record<string, readonly [string, string, string]>>,
  answer: (method: string, request: Message) => object,
): void {
  for (const [name, [path, requestName, answerName]] of Object.entries(methods)) {
    const [asked, answered] = [types.lookupType(requestName), types.lookupType(answerName)];
    const handler: handleUnaryCall<Message, object> = ({ request }, callback) =>
      callback(null, answer(name, request));
    const definition = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: (value: Message) => Buffer.from(asked.encode(value).finish()),
      requestDeserialize: (bytes: Buffer) =>
        asked.toObject(asked.decode(bytes), { defaults: true }) as Message,
      responseSerialize: (value: object) => Buffer.from(answered.encode(answered.fromObject(value)).finish()),
      responseDeserialize: (bytes: Buffer) => answered.decode(bytes),
    };
    server.addService({ [name]: definition }, { [name]: handler as never });
  }
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
  await listen(driver, endpoint);
  await listen(registrar, join(root, "plugins_registry", `${name}-reg.sock`));
  return {
    prepared,
    unprepared,
    stop() {
      driver.forceShutdown();
      registrar.forceShutdown();
    },
  };
}
