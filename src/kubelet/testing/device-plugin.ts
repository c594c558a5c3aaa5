/** A device plugin for tests: a real gRPC server on a unix socket, whose devices are variables and files of the host. */
import { join } from "node:path";
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { deviceMessages, deviceMethods } from "../generated/plugins.ts";

type Method = keyof typeof deviceMethods;
type Message = Record<string, unknown>;

export interface TestPlugin {
  /** By id, whether it is healthy; `update` tells the kubelet. */
  readonly devices: Map<string, boolean>;
  /** The ids of each allocation. */
  readonly allocated: string[][];
  update(): void;
  /** As plugins do when they find `kubelet.sock`. Throws in the kubelet's words. */
  register(request?: Message): Promise<void>;
  stop(): void;
}

const types = protobuf.Root.fromJSON({ nested: { v1beta1: { nested: deviceMessages } } });
const encode = (type: string) => (value: object) =>
  Buffer.from(types.lookupType(type).encode(types.lookupType(type).fromObject(value)).finish());
const decode = (type: string) => (bytes: Buffer) =>
  types
    .lookupType(type)
    .toObject(types.lookupType(type).decode(bytes), { defaults: true, arrays: true }) as Message;

function definition(method: Method, responseStream = false) {
  const [path, request, answer] = deviceMethods[method];
  return {
    path,
    requestStream: false,
    responseStream,
    requestSerialize: encode(request),
    requestDeserialize: decode(request),
    responseSerialize: encode(answer),
    responseDeserialize: decode(answer),
  };
}

/** `dir`: the kubelet's `device-plugins`. */
export async function startTestPlugin(dir: string, resourceName: string): Promise<TestPlugin> {
  const devices = new Map([
    ["first", true],
    ["second", true],
  ]);
  const allocated: string[][] = [];
  const streams = new Set<ServerWritableStream<Message, object>>();
  const list = () => ({
    devices: [...devices].map(([ID, isHealthy]) => ({ ID, health: isHealthy ? "Healthy" : "Unhealthy" })),
  });
  type Unary = (call: ServerUnaryCall<Message, object>, callback: sendUnaryData<object>) => void;
  const preferLast: Unary = ({ request }, callback) => {
    const [asked] = request.containerRequests as { availableDeviceIDs: string[]; allocationSize: number }[];
    const deviceIDs = asked!.availableDeviceIDs.toSorted().slice(-asked!.allocationSize);
    callback(null, { containerResponses: [{ deviceIDs }] });
  };
  const allocate: Unary = ({ request }, callback) => {
    const [{ devicesIds }] = request.containerRequests as [{ devicesIds: string[] }];
    allocated.push(devicesIds);
    const devices = [{ containerPath: "/dev/nothing", hostPath: "/dev/null", permissions: "rw" }];
    const envs = { DEVICES: devicesIds.join(",") };
    callback(null, {
      containerResponses: [{ envs, devices, annotations: { "example.com/devices": envs.DEVICES } }],
    });
  };
  const server = new Server();
  server.addService(
    {
      GetDevicePluginOptions: definition("GetDevicePluginOptions"),
      ListAndWatch: definition("ListAndWatch", true),
      GetPreferredAllocation: definition("GetPreferredAllocation"),
      Allocate: definition("Allocate"),
    },
    {
      GetDevicePluginOptions: ((_call, callback) =>
        callback(null, { getPreferredAllocationAvailable: true })) as Unary as never,
      ListAndWatch: ((stream: ServerWritableStream<Message, object>) => {
        streams.add(stream);
        stream.on("cancelled", () => streams.delete(stream));
        stream.write(list());
      }) as never,
      GetPreferredAllocation: preferLast as never,
      Allocate: allocate as never,
    },
  );
  const endpoint = `${resourceName.replace("/", "-")}.sock`;
  await new Promise<void>((resolve, reject) => {
    const where = `unix://${join(dir, endpoint)}`;
    server.bindAsync(where, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  return {
    devices,
    allocated,
    update() {
      for (const stream of streams) stream.write(list());
    },
    register(request = { version: "v1beta1", endpoint, resourceName }) {
      const client = new Client(`unix://${join(dir, "kubelet.sock")}`, credentials.createInsecure(), {
        "grpc.default_authority": "localhost",
      });
      const { path, requestSerialize, responseDeserialize } = definition("Register");
      return new Promise<void>((resolve, reject) => {
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          new Metadata(),
          (error) => {
            client.close();
            if (error) reject(new Error(error.details));
            else resolve();
          },
        );
      });
    },
    stop: () => server.forceShutdown(),
  };
}
