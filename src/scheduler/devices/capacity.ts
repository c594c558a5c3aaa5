/**
 * How much of a device a request consumes: as much as it asks for, rounded to what the device's policy allows.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/5075-dra-consumable-capacity
 */
import { parseQuantity, type Quantity, type resourcev1 } from "#api";
import type { Device } from "./pools.ts";

type Requests = Readonly<NonNullable<resourcev1.CapacityRequirements["requests"]>>;
type Policy = Readonly<resourcev1.CapacityRequestPolicy>;

const none: Quantity = { nanos: 0n, format: "DecimalSI" };
const quantity = (text: string | number): Quantity => parseQuantity(text) ?? none;

/** By the capacity's name; undefined: the device has no such capacity, or its policy does not allow it. */
export function consumptionOf(
  requests: Requests | undefined,
  { capacity = {} }: Device,
): Map<string, Quantity> | undefined {
  for (const name of Object.keys(requests ?? {})) if (!capacity[name]) return undefined;
  const consumed = new Map<string, Quantity>();
  for (const [name, { value, requestPolicy }] of Object.entries(capacity)) {
    const asked = requests?.[name];
    const amount =
      asked === undefined
        ? quantity(requestPolicy?.default ?? value)
        : roundedUp(quantity(asked), requestPolicy);
    if (amount.nanos < 0n || !isAllowed(amount, requestPolicy)) return undefined;
    consumed.set(name, amount);
  }
  return consumed;
}

function roundedUp(asked: Quantity, policy: Policy | undefined): Quantity {
  const { validRange, validValues } = policy ?? {};
  if (validRange) {
    const min = quantity(validRange.min);
    if (asked.nanos <= min.nanos) return min;
    const step = validRange.step === undefined ? none : quantity(validRange.step);
    if (step.nanos <= 0n) return asked;
    const steps = (asked.nanos - min.nanos + step.nanos - 1n) / step.nanos;
    return { nanos: min.nanos + steps * step.nanos, format: step.format };
  }
  return validValues?.map(quantity).find((valid) => asked.nanos <= valid.nanos) ?? asked;
}

function isAllowed({ nanos }: Quantity, policy: Policy | undefined): boolean {
  const { validRange, validValues = [], default: usual } = policy ?? {};
  if (usual !== undefined && quantity(usual).nanos === nanos) return true;
  if (validRange) return validRange.max === undefined || nanos <= quantity(validRange.max).nanos;
  return validValues.length === 0 || validValues.some((valid) => quantity(valid).nanos === nanos);
}

/** How much of a capacity all that share the device may consume together, in nanos. */
export function capacityOf({ capacity = {} }: Device, name: string): bigint {
  return quantity(capacity[name]?.value ?? 0).nanos;
}
