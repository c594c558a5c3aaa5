/**
 * How long tasks of a cgroup have waited for what they need: the kernel's pressure stall information, which cgroups v2 have
 * where it was not switched off at boot. https://kubernetes.io/docs/reference/instrumentation/understand-psi-metrics/
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Stalls {
  /** Microseconds. */
  total: number;
  /** Of the last 10, 60 and 300 seconds, in percent. */
  avg10: number;
  avg60: number;
  avg300: number;
}

export interface Pressure {
  /** All tasks waited. */
  full: Stalls;
  /** At least one did. */
  some: Stalls;
}

export interface GroupPressure {
  cpu: Pressure;
  memory: Pressure;
  io: Pressure;
}

const noStalls: Stalls = { total: 0, avg10: 0, avg60: 0, avg300: 0 };

/** Lines such as `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`; older kernels have none of `full` for processors. */
export function parsePressure(text: string): Pressure {
  const pressure: Pressure = { full: noStalls, some: noStalls };
  for (const line of text.split("\n")) {
    const [kind, ...fields] = line.split(" ");
    if (kind !== "full" && kind !== "some") continue;
    const values = new Map(fields.map((field) => field.split("=") as [string, string]));
    const of = (name: keyof Stalls) => Number(values.get(name)) || 0;
    pressure[kind] = { total: of("total"), avg10: of("avg10"), avg60: of("avg60"), avg300: of("avg300") };
  }
  return pressure;
}

/** `dir`: of a group of cgroups v2. Undefined where the kernel tells nothing. */
export function pressureOf(dir: string): GroupPressure | undefined {
  const of = (resource: string) => parsePressure(readFileSync(join(dir, `${resource}.pressure`), "utf8"));
  try {
    return { cpu: of("cpu"), memory: of("memory"), io: of("io") };
  } catch {
    return undefined;
  }
}
