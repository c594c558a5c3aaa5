/**
 * `/healthz`, `/livez` and `/readyz`, whole or check by check.
 * https://kubernetes.io/docs/reference/using-api/health-checks/
 */
import { notServed } from "#api";
import { type ApiRequest, type ApiResponse, textResponse } from "./exchange.ts";

export interface Condition {
  readonly isStopping: boolean;
  /** Why the store takes no writes. */
  readonly storeFailure: string | undefined;
}

type Check = readonly [name: string, isWell: boolean];

const healthPath = /^\/(healthz|livez|readyz)(?:\/(.*))?$/;

/** Undefined for any other path. */
export function answerHealth(
  { path, query }: Pick<ApiRequest, "path" | "query">,
  condition: Condition,
): ApiResponse | undefined {
  const [, endpoint, part] = healthPath.exec(path) ?? [];
  if (!endpoint) return undefined;
  const checks = checksOf(endpoint, condition);
  if (part) {
    const one = checks.find(([name]) => name === part);
    if (!one) throw notServed();
    return one[1] ? textResponse(200, "ok") : textResponse(500, `${failed(part)}\n`);
  }
  const excluded = new Set(query.getAll("exclude"));
  const asked = checks.filter(([name]) => !excluded.has(name));
  const isWell = asked.every(([, well]) => well);
  if (isWell && !query.has("verbose")) return textResponse(200, "ok");
  const lines = checks.map(([name, well]) => {
    if (excluded.has(name)) return `[+]${name} excluded: ok`;
    return well ? `[+]${name} ok` : `[-]${failed(name)}`;
  });
  const verdict = `${endpoint} check ${isWell ? "passed" : "failed"}`;
  return textResponse(isWell ? 200 : 500, [...lines, verdict, ""].join("\n"));
}

function failed(name: string): string {
  return `${name} failed: reason withheld`;
}

/** Whoever cannot write is alive all the same: starting it again would mend no disk. */
function checksOf(endpoint: string, { isStopping, storeFailure }: Condition): Check[] {
  const alive: Check[] = [
    ["ping", true],
    ["log", true],
  ];
  if (endpoint === "livez") return [...alive, ["shutdown", !isStopping]];
  return [...alive, ["etcd", storeFailure === undefined], ["shutdown", !isStopping]];
}
