/** Requests through an Ingress, beside the same HAProxy written by hand and beside a proxy in Node. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endpointSlices, ingresses, services } from "#api";
import { findProgram, runOk } from "#base";
import type { Client } from "#client";
import { installPackages } from "#distro";
import { askAgain, forwardedHeaders } from "#ingress";
import { type BenchCluster, benchCluster } from "../cluster.ts";
import { type Benchmark, percentile } from "../measure.ts";

/** So that finding the route costs what it costs in a cluster. */
const hosts = 500;
const rounds = 5;
const seconds = 4;
const connections = 32;
const wantedHost = "h250.example.com";

interface Measured {
  perSecond: number;
  p99Ms: number;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** In sessions of their own, as the ingress is: the kernel shares its time among sessions first. */
const apart = { stdio: "ignore", detached: true } as const;

const timeouts = ["mode http", "timeout connect 5s", "timeout client 60s", "timeout server 60s"];

/** Answers at once: what is measured is the way to it. */
const serverConfig = (port: number) => [
  "defaults",
  ...timeouts,
  "frontend all",
  `bind :${port}`,
  `http-request return status 200 content-type text/plain string ${"x".repeat(1000)}`,
];

/** As somebody writes it by hand who has one host and one server, and tells it what an Ingress tells it of the client. */
const aloneConfig = (port: number, server: string, defaults: readonly string[] = []) => [
  "defaults",
  ...timeouts,
  ...defaults,
  "frontend all",
  `bind :${port}`,
  ...forwardedHeaders("http", port),
  `use_backend b if { req.hdr(host) -i ${wantedHost} }`,
  "backend b",
  `server s ${server}`,
];

const nodeProxy = (port: number, host: string, serverPort: number) => `
  const http = require("node:http");
  const agent = new http.Agent({ keepAlive: true, maxSockets: ${connections} });
  http.createServer((request, response) => {
    const headers = { ...request.headers, "x-forwarded-for": request.socket.remoteAddress };
    const options = { host: "${host}", port: ${serverPort}, agent, path: request.url, method: request.method, headers };
    const asked = http.request(options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    asked.on("error", () => response.destroy());
    request.pipe(asked);
  }).listen(${port});`;

async function publish(client: Client, address: string, port: number): Promise<void> {
  const metadata = { name: "web", namespace: "default" };
  await client.create(services, { metadata, spec: { ports: [{ port: 80 }] } } as never);
  await client.create(endpointSlices, {
    metadata: { ...metadata, labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ name: "", port, protocol: "TCP" }],
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  } as never);
  const backend = { service: { name: "web", port: { number: 80 } } };
  const paths = [{ path: "/", pathType: "Prefix", backend }];
  for (let i = 0; i < hosts; i++) {
    await client.create(ingresses, {
      metadata: { name: `i${i}`, namespace: "default" },
      spec: { rules: [{ host: `h${i}.example.com`, http: { paths } }] },
    } as never);
  }
}

async function measure(url: string): Promise<Measured> {
  const load = ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "-H", `Host: ${wantedHost}`, url];
  const text = await runOk("wrk", load, { timeoutMs: 60_000 });
  if (/Non-2xx|Socket errors/.test(text)) throw new Error(`not every request was answered: ${text}`);
  const [, value, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(text)!;
  const scale = { us: 0.001, ms: 1, s: 1000 }[unit as "us" | "ms" | "s"];
  return { perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)![1]), p99Ms: Number(value) * scale };
}

async function untilAnswered(url: string): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const text = await runOk("curl", ["-s", "-H", `Host: ${wantedHost}`, url]).catch(() => "");
    if (text.startsWith("xxx")) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} does not answer`);
}

async function compare(cluster: BenchCluster, folder: string, children: ChildProcess[]) {
  const { nodeAddress, httpPort } = cluster.config;
  const ports = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  const [serverPort, alonePort, againPort, nodePort] = ports as [number, number, number, number];
  const haproxy = async (name: string, lines: string[]) => {
    const file = join(folder, `${name}.cfg`);
    await writeFile(file, `${lines.join("\n")}\n`);
    children.push(spawn(findProgram("haproxy")!, ["-db", "-f", file], apart));
  };
  await haproxy("server", serverConfig(serverPort));
  const server = `${nodeAddress}:${serverPort}`;
  await haproxy("alone", aloneConfig(alonePort, server));
  await haproxy("again", aloneConfig(againPort, server, askAgain));
  const script = nodeProxy(nodePort, nodeAddress, serverPort);
  children.push(spawn(process.execPath, ["-e", script], apart));
  const connection = await cluster.connect();
  await publish(connection.client, nodeAddress, serverPort);
  await connection.close();
  const ways = {
    alone: `http://127.0.0.1:${alonePort}/`,
    again: `http://127.0.0.1:${againPort}/`,
    ingress: `http://${nodeAddress}:${httpPort}/`,
    node: `http://127.0.0.1:${nodePort}/`,
  };
  const results: Record<keyof typeof ways, Measured[]> = { alone: [], again: [], ingress: [], node: [] };
  for (const url of Object.values(ways)) await untilAnswered(url);
  // One after the other in every round: what else the machine does meets all of them.
  for (let round = 0; round < rounds; round++) {
    for (const way of ["alone", "again", "ingress", "node"] as const)
      results[way].push(await measure(ways[way]));
  }
  return results;
}

export default async function bench(): Promise<Benchmark> {
  if (!findProgram("wrk")) await installPackages(["wrk"]);
  const folder = await mkdtemp(join(tmpdir(), "knarr-bench-"));
  const cluster = await benchCluster("ingress", []);
  const children: ChildProcess[] = [];
  try {
    const { alone, again, ingress, node } = await compare(cluster, folder, children);
    const rates = (measured: Measured[]) => measured.map(({ perSecond }) => perSecond);
    const delays = (measured: Measured[]) => measured.map(({ p99Ms }) => p99Ms);
    const peer = { name: "HAProxy alone", samples: rates(alone) };
    // What an Ingress promises and a bare HAProxy does not has its price in HAProxy itself (docs/decisions/0011).
    const equal = { name: "HAProxy that asks again", samples: rates(again) };
    const goal = percentile(rates(again), 0.5) * 0.9;
    return {
      title: `Requests through an Ingress: ${hosts} hosts, ${connections} connections, answers of 1 KB`,
      rows: [
        { what: "HAProxy alone, one host, the same headers", unit: "1/s", samples: rates(alone) },
        { what: "the same, asking the next server where one ends", unit: "1/s", samples: rates(again), peer },
        { what: "through an Ingress", unit: "1/s", samples: rates(ingress), peer: equal, goal },
        { what: "through a proxy in Node", unit: "1/s", samples: rates(node), peer },
        { what: "HAProxy alone, p99", unit: "ms", samples: delays(alone) },
        { what: "through an Ingress, p99", unit: "ms", samples: delays(ingress) },
        { what: "through a proxy in Node, p99", unit: "ms", samples: delays(node) },
      ],
    };
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await cluster.remove();
    await rm(folder, { recursive: true, force: true });
  }
}
