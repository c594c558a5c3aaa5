/**
 * Cluster DNS of the server's node while there is no server. A shell waits for the end of the server's process, which its
 * standard input tells it of, and becomes a small DNS server then: with the names that the store's file holds, until the next
 * server takes over. While the server runs that costs a sleeping shell.
 * https://man7.org/linux/man-pages/man7/pipe.7.html
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Clock, endProcess, forComponent, identityOf, type World, writePidFile } from "#base";
import { createClient, createInformers, type Transport } from "#client";
import { type DnsServer, startDns } from "#dns";
import { readStoredFile, type StoreEntry } from "#store";
import type { Running } from "./components.ts";
import type { ClusterConfig, ClusterPaths } from "./config.ts";
import { dnsServing } from "./dns-serving.ts";
import { type Instance, recordInstance, runningInstance } from "./instance.ts";

/** A line would send it home; the end of its input is the end of whoever held the other end. */
const guardScript = 'read -r _ || exec "$@"';
/** It answers from some hundred objects: a small nursery is half of its memory. */
const nodeFlags = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=4"];
const patienceMs = 5_000;

type StandbyPaths = Pick<ClusterPaths, "dir" | "dns" | "log">;

/** Whether a DNS without a server answers now. */
export function isStandbyAnswering({ dns }: Pick<ClusterPaths, "dns">): boolean {
  return runningInstance(dns)?.started ?? false;
}

/** Ends the DNS that an earlier server has left, or whoever waits to become one. */
export async function endDnsStandby({ dns }: Pick<ClusterPaths, "dns">, clock: Clock): Promise<void> {
  const instance = runningInstance(dns);
  if (instance) await endProcess(instance, clock, patienceMs);
  rmSync(dns, { force: true });
}

/** One that does not answer yet reads the store's file, which a server wants for itself. */
export async function endUnreadyStandby(paths: Pick<ClusterPaths, "dns">, clock: Clock): Promise<void> {
  if (!isStandbyAnswering(paths)) await endDnsStandby(paths, clock);
}

/** From the end of this process on, or from `stop` on, somebody else answers. */
export function guardDns(world: World, { dir, dns, log }: StandbyPaths): Running {
  const own = import.meta.url.endsWith(".ts") ? "./dns-standby-main.ts" : "./dns-standby.js";
  const program = [process.execPath, ...nodeFlags, fileURLToPath(new URL(own, import.meta.url)), dir];
  const logFd = openSync(log, "a", 0o600);
  const guard = spawn("/bin/sh", ["-c", guardScript, "knarr-dns", ...program], {
    detached: true,
    stdio: ["pipe", logFd, logFd],
    cwd: "/",
  });
  closeSync(logFd);
  guard.on("error", (error) =>
    forComponent(world, "dns").log.warn(
      { error: error.message },
      "names will not be answered while there is no server",
    ),
  );
  guard.stdin?.on("error", () => {});
  guard.unref();
  if (guard.pid !== undefined) {
    const instance: Instance = { ...identityOf(guard.pid), started: false };
    writePidFile(dns, instance);
  }
  return { stop: async () => void guard.stdin?.end() };
}

/** What an informer asks for, and where that stands in the store. */
const shelves = new Map([
  ["/api/v1/namespaces", "/registry/namespaces/*"],
  ["/api/v1/services", "/registry/services/*"],
  ["/apis/discovery.k8s.io/v1/endpointslices", "/registry/discovery.k8s.io/endpointslices/*"],
  ["/api/v1/namespaces/kube-system/configmaps", "/registry/configmaps/kube-system/kube-dns"],
]);

/** Lists are what was stored; nothing changes any more. */
function storedTransport(entries: readonly StoreEntry[]): Transport {
  return {
    async send({ path }) {
      const { pathname, searchParams } = new URL(path, "http://store");
      return {
        status: 200,
        headers: {},
        body: searchParams.has("watch") ? silence() : listOf(entries, pathname),
      };
    },
    close: async () => {},
  };
}

async function* silence(): AsyncGenerator<Uint8Array> {
  await new Promise(() => {});
}

async function* listOf(entries: readonly StoreEntry[], path: string): AsyncGenerator<Uint8Array> {
  const prefix = shelves.get(path)?.replace("*", "") ?? "";
  const items = entries
    .filter(({ key }) => prefix !== "" && key.startsWith(prefix))
    .map(({ value }) => value.toString());
  yield Buffer.from(`{"metadata":{"resourceVersion":"1"},"items":[${items.join()}]}`);
}

/** The process that the guard becomes. */
export async function standIn(world: World, config: ClusterConfig, paths: ClusterPaths): Promise<DnsServer> {
  const entries = readStoredFile(paths.store, [...shelves.values()]);
  const informers = createInformers(createClient(storedTransport(entries)), world);
  informers.start(new AbortController().signal);
  const dns = await startDns({ ...(await dnsServing(config)), world, informers });
  recordInstance(paths.dns, true);
  return dns;
}
