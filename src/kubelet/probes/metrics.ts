/** `/metrics/probes`: how often each probe of a running container has succeeded and failed. */
import { expositionOf } from "../stats/exposition.ts";
import type { ProbeKind } from "./prober.ts";

export interface ProbeCount {
  container: string;
  pod: string;
  namespace: string;
  uid: string;
  kind: ProbeKind;
  successful: number;
  failed: number;
}

const typeNames: Record<ProbeKind, string> = {
  liveness: "Liveness",
  readiness: "Readiness",
  startup: "Startup",
};

export function probeMetrics(counts: readonly ProbeCount[]): string {
  return expositionOf([
    {
      name: "prober_probe_total",
      help: "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
      type: "counter",
      samples: counts.flatMap(({ container, pod, namespace, uid, kind, ...results }) =>
        (["successful", "failed"] as const).map((result) => ({
          labels: { container, namespace, pod, pod_uid: uid, probe_type: typeNames[kind], result },
          value: results[result],
        })),
      ),
    },
  ]);
}
