/**
 * Quantities such as `100m`, `1.5Gi` or `2e3`: parsing, comparing, adding and the canonical form in which they are kept.
 * https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
 */

/** A number as `mantissa × 10^-9`, and the family of suffixes it was written with. */
export interface Quantity {
  readonly nanos: bigint;
  readonly format: "BinarySI" | "DecimalSI" | "DecimalExponent";
}

const zero: Quantity = { nanos: 0n, format: "DecimalSI" };
const decimalSuffixes = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const binarySuffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const billion = 1_000_000_000n;
/** Upstream caps what it keeps; the digits a client may send are bounded so that arithmetic is. */
const digitsMax = 64;
const pattern = /^([+-]?)(\d*)(?:\.(\d*))?(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d{1,3})?$/;
const plain = /^\d{1,9}$/;

/** What one of each suffix is in nanos: enough for whole numbers, and most quantities are. */
const units: ReadonlyMap<string, Quantity> = new Map<string, Quantity>([
  ...decimalSuffixes.map(
    (suffix, i) => [suffix, { nanos: 1000n ** BigInt(i), format: "DecimalSI" }] as const,
  ),
  ...binarySuffixes
    .map((suffix, i) => [suffix, { nanos: 1024n ** BigInt(i) * billion, format: "BinarySI" }] as const)
    .slice(1),
]);

export const quantityError =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/** Undefined when the text is no quantity. */
export function parseQuantity(input: string | number): Quantity | undefined {
  if (input === 0) return zero;
  const text = typeof input === "number" ? String(input) : input.trim();
  const match = text.length <= digitsMax + 8 ? pattern.exec(text) : null;
  if (!match) return undefined;
  const [, sign, whole = "", fraction = "", suffix = ""] = match;
  if (whole === "" && fraction === "") return undefined;
  const unit = fraction === "" ? units.get(suffix) : undefined;
  if (unit) {
    const nanos = BigInt(whole) * unit.nanos;
    return { nanos: sign === "-" ? -nanos : nanos, format: unit.format };
  }
  const { multiplier, exponent, format } = scaleOf(suffix);
  const digits = BigInt(whole + fraction) * multiplier;
  const shift = exponent - fraction.length + 9;
  const nanos = shift >= 0 ? digits * 10n ** BigInt(shift) : divideUp(digits, 10n ** BigInt(-shift));
  return { nanos: sign === "-" ? -nanos : nanos, format };
}

function scaleOf(suffix: string): { multiplier: bigint; exponent: number; format: Quantity["format"] } {
  if (/^[eE][+-]?\d/.test(suffix)) {
    const exponent = Math.max(-99, Math.min(99, Number(suffix.slice(1))));
    return { multiplier: 1n, exponent, format: "DecimalExponent" };
  }
  const binary = suffix ? binarySuffixes.indexOf(suffix) : -1;
  if (binary > 0) return { multiplier: 1024n ** BigInt(binary), exponent: 0, format: "BinarySI" };
  return { multiplier: 1n, exponent: (decimalSuffixes.indexOf(suffix) - 3) * 3, format: "DecimalSI" };
}

/** Rounds away from zero, as upstream does with what is finer than it keeps. */
function divideUp(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  const rest = value % by;
  if (rest === 0n) return quotient;
  return value < 0n ? quotient - 1n : quotient + 1n;
}

/** The form that is stored and shown: `1024Ki` is `1Mi`, `1000m` is `1`, `0.5` is `500m`. */
export function formatQuantity(quantity: Quantity): string {
  const { nanos, format } = quantity;
  if (nanos === 0n) return "0";
  const small = nanos > -1024n * billion && nanos < 1024n * billion;
  if (format === "BinarySI" && !small) return formatBinary(divideUp(nanos, billion));
  return formatDecimal(nanos, format === "DecimalExponent");
}

function formatBinary(value: bigint): string {
  let power = 0;
  let rest = value;
  while (rest % 1024n === 0n && power < binarySuffixes.length - 1) {
    rest /= 1024n;
    power++;
  }
  return `${rest}${binarySuffixes[power]}`;
}

function formatDecimal(nanos: bigint, asExponent: boolean): string {
  let step = 0;
  let rest = nanos;
  while (rest % 1000n === 0n && step < decimalSuffixes.length - 1) {
    rest /= 1000n;
    step++;
  }
  if (!asExponent) return `${rest}${decimalSuffixes[step]}`;
  return step === 3 ? String(rest) : `${rest}e${(step - 3) * 3}`;
}

/** So many bytes, as memory and disks are counted: `100Mi`. */
export function binaryQuantity(bytes: number): string {
  return formatQuantity({ nanos: BigInt(Math.trunc(bytes)) * billion, format: "BinarySI" });
}

/** The canonical form of what a client sent; undefined when it is no quantity. */
export function canonicalQuantity(input: string | number): string | undefined {
  // Most quantities are small whole numbers already in their final form.
  if (typeof input === "string" && plain.test(input) && input[0] !== "0" && !input.endsWith("000"))
    return input;
  const parsed = parseQuantity(input);
  return parsed && formatQuantity(parsed);
}

export function compareQuantities(a: string | number, b: string | number): number {
  if (a === b) return 0;
  const left = parseQuantity(a)?.nanos ?? 0n;
  const right = parseQuantity(b)?.nanos ?? 0n;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The sum, in the format of the first that is not zero. */
export function addQuantities(a: string | number, b: string | number): string {
  const left = parseQuantity(a) ?? zero;
  const right = parseQuantity(b) ?? zero;
  return formatQuantity({
    nanos: left.nanos + right.nanos,
    format: left.nanos === 0n ? right.format : left.format,
  });
}

/** Whole units, rounded up, as a number: bytes of memory, a count. 0 for what is absent or no quantity. */
export function quantityValue(input: string | number | undefined): number {
  return scaled(input, 1, billion);
}

/** Thousandths, rounded up: CPU. */
export function quantityMilliValue(input: string | number | undefined): number {
  return scaled(input, 1000, 1_000_000n);
}

function scaled(input: string | number | undefined, factor: number, divisor: bigint): number {
  if (input === undefined) return 0;
  if (typeof input === "number" && Number.isInteger(input)) return input * factor;
  const text = String(input);
  const fast = fastValue(text, factor);
  if (fast !== undefined) return fast;
  const parsed = parseQuantity(text);
  return parsed ? Number(divideUp(parsed.nanos, divisor)) : 0;
}

/** Without big integers: at most nine digits and a common suffix. */
function fastValue(text: string, factor: number): number | undefined {
  const match = /^(\d{1,9})(m|k|M|G|Ki|Mi|Gi)?$/.exec(text);
  if (!match) return undefined;
  const value = Number(match[1]);
  switch (match[2]) {
    case undefined:
      return value * factor;
    case "m":
      return Math.ceil((value * factor) / 1000);
    case "k":
      return value * 1e3 * factor;
    case "M":
      return value * 1e6 * factor;
    case "G":
      return value * 1e9 <= 9e12 ? value * 1e9 * factor : undefined;
    case "Ki":
      return value * 1024 * factor;
    case "Mi":
      return value * 1048576 <= 9e12 ? value * 1048576 * factor : undefined;
    default:
      return value * 1073741824 <= 9e12 ? value * 1073741824 * factor : undefined;
  }
}
