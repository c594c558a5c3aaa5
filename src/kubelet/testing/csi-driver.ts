/** A CSI driver for tests: a real gRPC server on a unix socket, whose volumes are folders. It notes what it is asked. */
import { mkdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type handleUnaryCall, Server, ServerCredentials, status } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { csiMessages, csiMethods, registrationMessages, registrationMethods } from "../generated/plugins.ts";

type CsiMethod = keyof typeof csiMethods;
type Request = Record<string, unknown>;

export interface Asked {
  method: string;
  request: Request;
}

export interface TestDriver {
  readonly name: string;
  readonly asked: Asked[];
  /** The requests of one method. */
  requestsOf(method: CsiMethod): Request[];
  /** What the kubelet said of the registration. */
  readonly told: { pluginRegistered: boolean; error: string }[];
  /** Throws to have a call fail; answers what a call answers instead of nothing. */
  answers: Partial<Record<CsiMethod, (request: Request) => object | undefined | Promise<object | undefined>>>;
  /** As the registrar does: the socket that the kubelet finds. */
  register(): Promise<void>;
  stop(): Promise<void>;
}

export interface TestDriverOptions {
  name: string;
  /** The kubelet's folder. */
  root: string;
  nodeId?: string;
  capabilities?: readonly string[];
  topology?: Record<string, string>;
  maxVolumesPerNode?: number;
  /** Where the driver says that its socket is, when it is in a container. */
  endpoint?: string;
}

const types = protobuf.Root.fromJSON({
  nested: {
    csi: { nested: { v1: { nested: csiMessages } } },
    pluginregistration: { nested: registrationMessages },
  },
});

type Answers = Record<string, (request: Request) => object | undefined | Promise<object | undefined>>;

function serve(
  server: Server,
  methods: Readonly<Record<string, readonly [path: string, request: string, answer: string]>>,
  answer: (method: string, request: Request) => Promise<object>,
): void {
  for (const [name, [path, requestName, answerName]] of Object.entries(methods)) {
    const asked = types.lookupType(requestName);
    const answered = types.lookupType(answerName);
    const handler: handleUnaryCall<Request, object> = ({ request }, callback) => {
      answer(name, request).then(
        (value) => callback(null, value),
        (error: Error) => callback({ code: status.INTERNAL, details: error.message }),
      );
    };
    const definition = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: (value: object) => Buffer.from(asked.encode(asked.fromObject(value)).finish()),
      requestDeserialize: (bytes: Buffer) =>
        asked.toObject(asked.decode(bytes), { longs: Number, enums: String }) as Request,
      responseSerialize: (value: object) => Buffer.from(answered.encode(answered.fromObject(value)).finish()),
      responseDeserialize: (bytes: Buffer) => answered.toObject(answered.decode(bytes)),
    };
    server.addService({ [name]: definition }, { [name]: handler });
  }
}

function listen(server: Server, path: string): Promise<void> {
  // Of one before this, which was killed.
  rmSync(path, { force: true });
  return new Promise((resolve, reject) =>
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    ),
  );
}

/** What a driver that makes folders answers. */
function folderAnswers(options: TestDriverOptions): Answers {
  const { nodeId = "node-id", capabilities = ["STAGE_UNSTAGE_VOLUME"], topology } = options;
  return {
    NodeGetInfo: () => ({
      nodeId,
      maxVolumesPerNode: options.maxVolumesPerNode ?? 0,
      ...(topology ? { accessibleTopology: { segments: topology } } : {}),
    }),
    NodeGetCapabilities: () => ({ capabilities: capabilities.map((type) => ({ rpc: { type } })) }),
    NodePublishVolume({ targetPath }) {
      mkdirSync(String(targetPath), { recursive: true });
      return undefined;
    },
    NodeUnpublishVolume({ targetPath }) {
      try {
        rmdirSync(String(targetPath));
      } catch {
        // It was never published.
      }
      return undefined;
    },
  };
}

export async function startTestDriver(options: TestDriverOptions): Promise<TestDriver> {
  const { name, root } = options;
  const asked: Asked[] = [];
  const told: TestDriver["told"] = [];
  const folders = folderAnswers(options);
  const socketPath = join(root, "plugins", name, "csi.sock");
  const { endpoint = socketPath } = options;
  mkdirSync(join(root, "plugins", name), { recursive: true });
  const registryDir = join(root, "plugins_registry");
  mkdirSync(registryDir, { recursive: true });
  const driver = new Server();
  const registrar = new Server();
  const answers: Answers = {};
  serve(driver, csiMethods, async (method, request) => {
    asked.push({ method, request });
    return (await (answers[method] ?? folders[method])?.(request)) ?? {};
  });
  serve(registrar, registrationMethods, async (method, request) => {
    if (method === "GetInfo") return { type: "CSIPlugin", name, endpoint, supportedVersions: ["1.0.0"] };
    told.push({ pluginRegistered: request.pluginRegistered === true, error: String(request.error ?? "") });
    return {};
  });
  await listen(driver, socketPath);
  return {
    name,
    asked,
    told,
    answers: answers as TestDriver["answers"],
    requestsOf: (method) => asked.filter((each) => each.method === method).map(({ request }) => request),
    register: () => listen(registrar, join(registryDir, `${name}-reg.sock`)),
    async stop() {
      driver.forceShutdown();
      registrar.forceShutdown();
    },
  };
}
