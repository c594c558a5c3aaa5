/** Numbers or percentages: `maxSurge`, `maxUnavailable`. https://pkg.go.dev/k8s.io/apimachinery/pkg/util/intstr */

const percent = /^(\d+)%$/;

export function isPercent(value: string): boolean {
  return percent.test(value);
}

/** The value, or the percentage of `total`, rounded up or down. Undefined when the text is no percentage. */
export function scaledValue(
  value: number | string | undefined,
  total: number,
  roundUp: boolean,
): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number") return value;
  const match = percent.exec(value);
  if (!match) return undefined;
  const exact = (Number(match[1]) * total) / 100;
  return roundUp ? Math.ceil(exact) : Math.floor(exact);
}
