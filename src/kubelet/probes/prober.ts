/**
 * The thresholds of a probe, pure, and the loop that feeds them. One prober stands for one probe of one container.
 */
import type { corev1 } from "#api";
import type { World } from "#base";
import { type CheckResult, type CheckTarget, check } from "./check.ts";

export type ProbeKind = "startup" | "readiness" | "liveness";

export interface Verdict {
  /** Undefined until a threshold has been reached. */
  healthy: boolean | undefined;
  /** How many equal results in a row. */
  run: number;
  last: boolean | undefined;
}

export const noVerdict: Verdict = { healthy: undefined, run: 0, last: undefined };

/** The verdict after one more result. */
export function nextVerdict(verdict: Verdict, ok: boolean, probe: Readonly<corev1.Probe>): Verdict {
  const run = verdict.last === ok ? verdict.run + 1 : 1;
  const threshold = Math.max(1, (ok ? probe.successThreshold : probe.failureThreshold) ?? (ok ? 1 : 3));
  return { healthy: run >= threshold ? ok : verdict.healthy, run, last: ok };
}

export interface ProberOptions extends CheckTarget {
  kind: ProbeKind;
  startedMs: number;
  world: World;
  /** Another probe may have to succeed first. */
  mayRun(): boolean;
  onVerdict(healthy: boolean, message: string): void;
  onResult(result: CheckResult): void;
}

export interface Prober {
  stop(): void;
}

/** Probes until stopped. A liveness or startup probe ends with its first failure: the container will be replaced. */
export function startProber(options: ProberOptions): Prober {
  const { probe, world, kind } = options;
  const ending = new AbortController();
  const periodMs = Math.max(1, probe.periodSeconds ?? 10) * 1000;

  async function loop(): Promise<void> {
    const initialMs = (probe.initialDelaySeconds ?? 0) * 1000;
    await world.clock.sleep(Math.max(0, options.startedMs + initialMs - world.clock.now()), ending.signal);
    let verdict = noVerdict;
    while (!ending.signal.aborted) {
      const startedMs = world.clock.monotonic();
      if (options.mayRun()) {
        const result = await check(options);
        if (ending.signal.aborted) return;
        options.onResult(result);
        const before = verdict.healthy;
        verdict = nextVerdict(verdict, result.ok, probe);
        if (verdict.healthy !== undefined && verdict.healthy !== before)
          options.onVerdict(verdict.healthy, result.message);
        if (verdict.healthy === false && kind !== "readiness") return;
        if (verdict.healthy === true && kind === "startup") return;
      } else {
        // What holds it back may end at any moment: do not lose a whole period.
        await world.clock.sleep(Math.min(100, periodMs), ending.signal);
        continue;
      }
      await world.clock.sleep(Math.max(0, periodMs - (world.clock.monotonic() - startedMs)), ending.signal);
    }
  }
  void loop();
  return { stop: () => ending.abort() };
}
