/**
 * An API server in a process of its own, with certificates of its own and a store on disk, that holds any number of pods.
 * Run as a program it is that server; `startApiServerProcess` starts one.
 */
import { type ChildProcess, fork } from "node:child_process";
import { type KubernetesObject, pods } from "#api";
import { type Client, createClient, httpsTransport } from "#client";
import type { Store } from "#store";
import { startSecureServer, staticToken } from "../test/integration/fixtures/secure-server.ts";
import { residentMegabytes } from "./cluster.ts";

interface Ready {
  url: string;
  ca: string;
  readyMs: number;
}

export interface ApiServerProcess {
  readonly url: string;
  readonly ca: string;
  /** Milliseconds from the start of the API server (not of Node) to its first answer. */
  readonly readyMs: number;
  /** A connection of its own each time. */
  connect(): Client;
  memory(): Promise<number>;
  stop(): Promise<void>;
}

/** What a pod of a Deployment weighs without its owners of fields: 3 KB. */
export function podOf(name: string) {
  return {
    metadata: {
      name,
      namespace: "default",
      labels: { app: "bench" },
      annotations: { ballast: "x".repeat(2300) },
    },
    // The gate keeps schedulers and nodes out of what is measured.
    spec: {
      containers: [{ name: "c", image: "busybox:1.36" }],
      schedulingGates: [{ name: "example.com/bench" }],
    },
  };
}

export async function startApiServerProcess(podCount = 0): Promise<ApiServerProcess> {
  const child = fork(import.meta.filename, [String(podCount)], { serialization: "advanced" });
  const ready = await new Promise<Ready>((resolve, reject) => {
    child.once("message", (message) => resolve(message as Ready));
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
  });
  const { url, ca } = ready;
  return {
    ...ready,
    connect: () => createClient(httpsTransport({ url, ca, token: staticToken })),
    memory: () => residentMegabytes(child.pid!),
    stop: () => ended(child),
  };
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.disconnect();
  });
}

/** Copies of one pod as the server itself has stored it. */
async function seed(store: Store, count: number): Promise<void> {
  const template = await storedPod();
  const write = (i: number) => {
    const name = `pod-${String(i).padStart(7, "0")}`;
    const value = (revision: number) => {
      const { metadata } = template;
      const uid = metadata.uid!.replace(/^.{8}/, String(i).padStart(8, "0"));
      const pod = { ...template, metadata: { ...metadata, name, uid, resourceVersion: String(revision) } };
      return Buffer.from(JSON.stringify(pod));
    };
    return store.write({ key: `/registry/pods/default/${name}`, expect: 0, value });
  };
  const batch = 1000;
  for (let from = 0; from < count; from += batch) {
    await Promise.all(Array.from({ length: Math.min(batch, count - from) }, (_, i) => write(from + i)));
  }
}

async function storedPod(): Promise<KubernetesObject> {
  const server = await startSecureServer();
  const stored = await server.client.create(pods, podOf("template"));
  await server.stop();
  return stored;
}

async function main(podCount: number): Promise<void> {
  let startedMs = performance.now();
  const seeded = async (store: Store) => {
    if (podCount > 0) await seed(store, podCount);
    startedMs = performance.now();
  };
  const server = await startSecureServer(seeded, { freeze: false });
  await server.client.list(pods, { limit: 1 });
  process.send!({ url: server.api.url, ca: server.authority.cert, readyMs: performance.now() - startedMs });
  process.once("disconnect", () => void server.stop().then(() => process.exit(0)));
}

if (import.meta.filename === process.argv[1]) await main(Number(process.argv[2]));
