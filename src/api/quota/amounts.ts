/** Amounts by resource name: `{ cpu: "500m", pods: "1" }`. */
import type { metav1 } from "../generated/types/index.ts";
import { addQuantities, compareQuantities, formatQuantity, parseQuantity } from "../meta/quantity.ts";

export type Amounts = Record<string, metav1.Quantity>;
type Given = Readonly<Amounts> | undefined;

export function addAmounts(a: Given, b: Given): Amounts {
  const sum: Amounts = { ...a };
  for (const [name, amount] of Object.entries(b ?? {}))
    sum[name] = sum[name] === undefined ? amount : addQuantities(sum[name], amount);
  return sum;
}

export function subtractAmounts(a: Given, b: Given): Amounts {
  const rest: Amounts = { ...a };
  for (const [name, amount] of Object.entries(b ?? {}))
    rest[name] = addQuantities(rest[name] ?? "0", negated(amount));
  return rest;
}

export function maxAmounts(a: Given, b: Given): Amounts {
  const max: Amounts = { ...a };
  for (const [name, amount] of Object.entries(b ?? {}))
    if (max[name] === undefined || compareQuantities(max[name], amount) < 0) max[name] = amount;
  return max;
}

function negated(amount: metav1.Quantity): string {
  const quantity = parseQuantity(amount);
  return quantity ? formatQuantity({ ...quantity, nanos: -quantity.nanos }) : "0";
}

export function pickAmounts(amounts: Readonly<Amounts>, names: ReadonlySet<string>): Amounts {
  return Object.fromEntries(Object.entries(amounts).filter(([name]) => names.has(name)));
}

/** `cpu=500m,pods=1`, as upstream's messages have it. */
export function formatAmounts(amounts: Readonly<Amounts>): string {
  return Object.keys(amounts)
    .sort()
    .map((name) => `${name}=${amounts[name]}`)
    .join(",");
}
