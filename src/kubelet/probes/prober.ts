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

/**
 * Probes until stopped. A liveness or startup probe ends with its first failure: the container will be replaced. A node
 * has hundreds of these: they are timers, and nothing else while they wait.
 */
export function startProber(options: ProberOptions): Prober {
  const { probe, kind } = options;
  const { clock } = options.world;
  const periodMs = Math.max(1, probe.periodSeconds ?? 10) * 1000;
  const initialMs = (probe.initialDelaySeconds ?? 0) * 1000;
  let verdict = noVerdict;
  let stopped = false;
  // Where the machine's clock has gone back since the container began, it is still no longer than asked for.
  const firstMs = Math.min(initialMs, options.startedMs + initialMs - clock.now());
  let timer = clock.after(firstMs, () => void step());

  function again(delayMs: number): void {
    timer = clock.after(delayMs, () => void step());
  }

  async function step(): Promise<void> {
    // What holds it back may end at any moment: do not lose a whole period.
    if (!options.mayRun()) return again(Math.min(100, periodMs));
    const startedMs = clock.monotonic();
    const result = await check(options);
    if (stopped) return;
    options.onResult(result);
    if (result.errored) return again(periodMs - (clock.monotonic() - startedMs));
    const before = verdict.healthy;
    verdict = nextVerdict(verdict, result.ok, probe);
    if (verdict.healthy !== undefined && verdict.healthy !== before)
      options.onVerdict(verdict.healthy, result.message);
    // The verdict may have ended it.
    if (stopped || (verdict.healthy === false && kind !== "readiness")) return;
    if (verdict.healthy === true && kind === "startup") return;
    again(periodMs - (clock.monotonic() - startedMs));
  }

  return {
    stop() {
      stopped = true;
      timer.cancel();
    },
  };
}
