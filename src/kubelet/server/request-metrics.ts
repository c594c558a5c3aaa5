/** What the kubelet's server is asked, and how long its answers take. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "#base";
import type { KubeletMetrics } from "../metrics.ts";

const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Of what anybody may ask for there are few names: `metrics/cadvisor`, `pods`, `other`. Pure. */
export function pathNameOf(path: string, known: object): string {
  const [name = "", below = ""] = path.split("?")[0]!.split("/").slice(1);
  if (!Object.hasOwn(known, name)) return "other";
  return name === "metrics" && ["cadvisor", "resource", "probes"].includes(below) ? `${name}/${below}` : name;
}

export function meterRequest(
  metrics: KubeletMetrics,
  clock: Clock,
  known: object,
  { method = "", url = "/" }: IncomingMessage,
  response: ServerResponse,
): void {
  const startedMs = clock.monotonic();
  const labels = {
    method: methods.has(method) ? method : "other",
    path: pathNameOf(url, known),
    server_type: "readwrite",
    long_running: "false",
  };
  metrics.requests.inc(labels);
  response.on("close", () => metrics.requestSeconds.observe(labels, (clock.monotonic() - startedMs) / 1000));
}
