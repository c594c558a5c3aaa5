/** The way in to a cluster of this machine from another process: the command line's client. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "#base";
import { type Client, createClient, httpsTransport } from "#client";
import type { ClusterConfig, ClusterPaths } from "./config.ts";

export interface ClusterConnection {
  client: Client;
  close(): Promise<void>;
}

/** As administrator, with the certificates in the cluster's folder; they are there once the server has started. */
export async function connectCluster(config: ClusterConfig, paths: ClusterPaths): Promise<ClusterConnection> {
  const read = (file: string) => readFile(join(paths.tls, file), "utf8");
  const [ca, cert, key] = await Promise.all([read("ca.crt"), read("admin.crt"), read("admin.key")]);
  const url = `https://127.0.0.1:${config.apiPort}`;
  const client = createClient(httpsTransport({ url, ca, cert, key, clock: systemClock }));
  return { client, close: () => client.transport.close() };
}
