/** Servers that tell who they are, and a client that asks them. */
import { type corev1, type Draft, endpointSlices, pods, services } from "#api";
import { eventually } from "../../eventually.ts";
import { createPod, shell } from "../pods.ts";
import type { Given } from "../suite.ts";

/** Answers its host name over HTTP, on each of the ports. */
export function hostnameServer(image: string, ...ports: number[]): Draft<corev1.Container> {
  const script = `mkdir -p /www && hostname > /www/index.html && hostname > /www/hostname && ${ports
    .map((port) => `httpd -p ${port} -h /www`)
    .join(" && ")} && trap 'exit 0' TERM && while true; do sleep 1 & wait; done`;
  return shell(image, script, {
    ports: ports.map((containerPort) => ({ containerPort })),
    readinessProbe: { tcpSocket: { port: ports[0]! }, periodSeconds: 1 },
  });
}

export async function startServer(
  given: Given,
  name: string,
  labels: Record<string, string>,
  ...ports: number[]
): Promise<corev1.Pod> {
  await createPod(given, {
    name,
    labels,
    spec: { restartPolicy: "Always", containers: [hostnameServer(given.image, ...ports)] },
  });
  return untilReady(given, name);
}

export function untilReady(given: Given, name: string): Promise<corev1.Pod> {
  return given.kube
    .resource(pods, given.namespace)
    .until(
      name,
      ({ status }) =>
        status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false,
    );
}

/** A pod to ask from; `hostNetwork` asks as the node does. */
export async function startClient(
  given: Given,
  name = "client",
  { hostNetwork = false, node }: { hostNetwork?: boolean; node?: string } = {},
): Promise<Client> {
  await createPod(given, {
    name,
    spec: {
      restartPolicy: "Always",
      hostNetwork,
      ...(node ? { nodeSelector: { "kubernetes.io/hostname": node } } : {}),
      containers: [shell(given.image, "sleep 3600")],
    },
  });
  await given.kube.resource(pods, given.namespace).until(name, ({ status }) => status?.phase === "Running");
  return new Client(given, name);
}

export class Client {
  readonly #given: Given;
  readonly #name: string;

  constructor(given: Given, name: string) {
    this.#given = given;
    this.#name = name;
  }

  /** Standard output of a script; undefined where it fails. */
  async run(script: string): Promise<string | undefined> {
    const args = ["exec", "-n", this.#given.namespace, this.#name, "--", "sh", "-c", script];
    const { code, stdout } = await this.#given.kubectl.try(args, { timeoutMs: 20_000 });
    return code === 0 ? stdout.trim() : undefined;
  }

  get(host: string, port: number): Promise<string | undefined> {
    return this.run(
      `timeout 3 wget -q -O - http://${host.includes(":") ? `[${host}]` : host}:${port}/hostname`,
    );
  }

  /** Asks until somebody answers. */
  reaches(host: string, port: number): Promise<string> {
    return eventually(`an answer of ${host}:${port}`, () => this.get(host, port));
  }

  /** Asks until nobody answers. */
  failsToReach(host: string, port: number): Promise<boolean> {
    return eventually(`silence of ${host}:${port}`, async () =>
      (await this.get(host, port)) === undefined ? true : undefined,
    );
  }

  /** Who answers in so many requests of one round. */
  async answers(host: string, port: number, count: number): Promise<string[]> {
    const text = await this.run(
      `for i in $(seq ${count}); do timeout 3 wget -q -O - http://${host}:${port}/hostname; done`,
    );
    return (text ?? "").split("\n").filter(Boolean);
  }

  /** The address of a name as programs find it, search path and all. */
  finds(name: string, ip: string): Promise<boolean> {
    return eventually(`${ip} for ${name}`, async () => {
      const text = await this.run(`timeout 3 wget -O - http://${name}:1/ 2>&1 | head -1`);
      if (text?.includes(`(${ip}:1)`)) return true;
      throw new Error(text);
    });
  }

  /** Asks for a name until the answer is as wanted. */
  resolves(name: string, wanted: (answer: string) => boolean, type = ""): Promise<string> {
    const script = type ? `nslookup -type=${type} ${name}` : `nslookup ${name}`;
    return eventually(`an answer for ${name}`, async () => {
      const answer = await this.run(`${script} 2>&1 || true`);
      if (answer !== undefined && wanted(answer)) return answer;
      throw new Error(answer);
    });
  }
}

export type ServiceSpec = Draft<corev1.ServiceSpec>;

export function createService(given: Given, name: string, spec: ServiceSpec): Promise<corev1.Service> {
  return given.kube.resource(services, given.namespace).create({ metadata: { name }, spec });
}

/** Waits until the service has exactly these ready addresses with their ports. */
export function untilEndpoints(
  given: Given,
  service: string,
  wanted: Record<string, number[]>,
): Promise<boolean> {
  const sorted = (of: Record<string, number[]>) =>
    JSON.stringify(
      Object.entries(of)
        .map(([ip, ports]) => [ip, [...ports].sort()])
        .sort(),
    );
  return eventually(`endpoints of ${service}`, async () => {
    const { items } = await given.kube
      .resource(endpointSlices, given.namespace)
      .list({ labelSelector: `kubernetes.io/service-name=${service}` });
    const found: Record<string, number[]> = {};
    for (const { endpoints = [], ports = [] } of items)
      for (const { addresses, conditions } of endpoints)
        if (conditions?.ready !== false)
          for (const ip of addresses)
            found[ip] = [...(found[ip] ?? []), ...ports.map(({ port }) => port ?? 0)];
    if (sorted(found) === sorted(wanted)) return true;
    throw new Error(JSON.stringify(found));
  });
}
