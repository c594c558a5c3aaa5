/** A server without sockets on a store in memory, for tests of what it answers. */
import { generateKeyPairSync } from "node:crypto";
import { createWorld, seededRandom, silentLogger, VirtualClock, type World } from "#base";
import { type Client, createClient, readText } from "#client";
import { openEmbeddedStore, type Store } from "#store";
import { type ApiServer, type ApiServerOptions, startApiServer } from "../server.ts";

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Record<string, unknown> & { metadata?: Record<string, unknown>; items?: unknown[]; message?: string };
}

export interface TestServer {
  api: ApiServer;
  client: Client;
  store: Store;
  clock: VirtualClock;
  world: World;
  /** One raw request as an administrator. */
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  stop(): Promise<void>;
}

const admin = { username: "admin", groups: ["system:masters"] };

export async function startTestServer(more: Partial<ApiServerOptions> = {}): Promise<TestServer> {
  const clock = new VirtualClock();
  const world = createWorld({ log: silentLogger, clock, random: seededRandom(7) });
  const store = more.store ?? (await openEmbeddedStore({ world, memory: true }));
  const pem = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const api = await startApiServer({
    world,
    store,
    tls: { cert: "", key: "" },
    clientCa: "",
    serviceCidrs: ["10.96.0.0/24"],
    nodePortRange: { from: 30_000, to: 30_009 },
    advertiseAddress: "127.0.0.1",
    serviceAccountKey: { cert: pem.publicKey, key: pem.privateKey },
    issuer: "https://kubernetes.default.svc.cluster.local",
    tokens: [],
    kubeletClient: { cert: "", key: "", ca: "" },
    freeze: true,
    ...more,
  });
  const transport = api.transport(admin);
  const send: TestServer["send"] = async (method, path, body, headers = {}) => {
    const bytes =
      body === undefined ? undefined : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
    const response = await transport.send({
      method: method as "GET",
      path,
      headers,
      ...(bytes ? { body: bytes } : {}),
    });
    const text = await readText(response.body);
    const isJson = response.headers["content-type"]?.startsWith("application/json");
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : { text } };
  };
  const stop = async () => {
    await api.stop();
    await store.close();
  };
  return { api, client: createClient(transport), store, clock, world, send, stop };
}
