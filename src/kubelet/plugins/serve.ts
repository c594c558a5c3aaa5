/**
 * Answers gRPC calls on a unix socket of the kubelet's: device plugins that make themselves known, agents that ask what
 * pods have. https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
 */
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  status,
} from "@grpc/grpc-js";
import type protobuf from "protobufjs";
import { messageOf } from "#base";

type Methods = Readonly<Record<string, readonly [path: string, request: string, answer: string]>>;

/** What each call answers; what is thrown is told to whoever called. */
export type Answers<Name extends string> = Record<Name, (request: never) => object | Promise<object>>;

const requestMaxBytes = 1024 * 1024;

export async function serveUnary<Name extends string>(options: {
  socketPath: string;
  types: protobuf.Root;
  methods: Methods;
  answers: Answers<Name>;
}): Promise<{ stop(): void }> {
  const { types, methods, answers } = options;
  const server = new Server({ "grpc.max_receive_message_length": requestMaxBytes });
  const service: Record<string, ServiceDefinition[string]> = {};
  const handlers: Record<string, handleUnaryCall<unknown, object>> = {};
  for (const name of Object.keys(answers) as Name[]) {
    const [path, requestName, answerName] = methods[name]!;
    const [asked, answered] = [types.lookupType(requestName), types.lookupType(answerName)];
    service[name] = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: (value: object) => Buffer.from(asked.encode(value).finish()),
      requestDeserialize: (bytes: Buffer) => asked.toObject(asked.decode(bytes), { defaults: true }),
      responseSerialize: (value: object) => Buffer.from(answered.encode(answered.fromObject(value)).finish()),
      responseDeserialize: (bytes: Buffer) => answered.decode(bytes),
    };
    handlers[name] = ({ request }, callback) => {
      Promise.resolve()
        .then(() => answers[name](request as never))
        .then(
          (answer) => callback(null, answer),
          (error: unknown) => callback({ code: status.UNKNOWN, details: messageOf(error) }),
        );
    };
  }
  server.addService(service, handlers);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${options.socketPath}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  return { stop: () => server.forceShutdown() };
}
