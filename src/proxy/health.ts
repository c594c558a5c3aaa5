/**
 * Health checks for load balancers outside: a Service that keeps to local endpoints tells, on its health-check node
 * port, how many this node has. https://kubernetes.io/docs/tasks/access-application-cluster/create-external-load-balancer/
 */
import { createServer, type Server } from "node:http";
import { messageOf, type World } from "#base";

interface Checked {
  namespace: string;
  name: string;
  port: number;
  localEndpoints: number;
}

interface Open {
  port: number;
  server: Server;
  checked: Checked;
}

/** The answer, letter for letter as kube-proxy writes it. */
export function healthAnswer(checked: Omit<Checked, "port">, isProxyHealthy: boolean): string {
  const { namespace, name, localEndpoints } = checked;
  return [
    "{",
    '\t"service": {',
    `\t\t"namespace": ${JSON.stringify(namespace)},`,
    `\t\t"name": ${JSON.stringify(name)}`,
    "\t},",
    `\t"localEndpoints": ${localEndpoints},`,
    `\t"serviceProxyHealthy": ${isProxyHealthy}`,
    "}",
  ].join("\n");
}

/** Connections of one check: a balancer needs one. */
const connectionsMax = 64;
const patienceMs = 5_000;

export class HealthChecks {
  readonly #world: World;
  readonly #isHealthy: () => boolean;
  readonly #open = new Map<string, Open>();

  constructor(world: World, isHealthy: () => boolean) {
    this.#world = world;
    this.#isHealthy = isHealthy;
  }

  /** From now on the Service is checked so; undefined: not at all. */
  set(key: string, checked: Checked | undefined): void {
    const open = this.#open.get(key);
    if (open && open.port === checked?.port) {
      open.checked = checked;
      return;
    }
    if (open) close(open.server);
    this.#open.delete(key);
    if (checked) this.#listen(key, checked);
  }

  #listen(key: string, checked: Checked): void {
    const open: Open = {
      port: checked.port,
      checked,
      server: createServer({ requestTimeout: patienceMs, keepAliveTimeout: patienceMs }, (_, response) => {
        const healthy = this.#isHealthy();
        response.writeHead(open.checked.localEndpoints > 0 && healthy ? 200 : 503, {
          "content-type": "application/json",
          "x-content-type-options": "nosniff",
          "x-load-balancing-endpoint-weight": String(open.checked.localEndpoints),
        });
        response.end(healthAnswer(open.checked, healthy));
      }),
    };
    open.server.maxConnections = connectionsMax;
    open.server.on("error", (error) => {
      this.#world.log.warn({ service: key, port: checked.port, error: messageOf(error) }, "no health check");
      if (this.#open.get(key) === open) this.#open.delete(key);
    });
    this.#open.set(key, open);
    open.server.listen(checked.port);
  }

  stop(): void {
    for (const { server } of this.#open.values()) close(server);
    this.#open.clear();
  }
}

function close(server: Server): void {
  server.close();
  server.closeAllConnections();
}
