/**
 * Expressions that select devices: what they may speak of, and what one device is to them.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#device-selection-cel
 */
import type { resourcev1 } from "#api";
import { Budget, CelEnvironment, callLimit, type Program } from "./engine.ts";
import { CelError } from "./engine-error.ts";
import { parseCelQuantity } from "./libraries/quantity.ts";
import { parseCelSemver } from "./libraries/semver.ts";
import { CelObject } from "./values.ts";

type Attribute = Readonly<resourcev1.DeviceAttribute>;

/** What is kept of expressions, the least used forgotten. */
const selectorsMax = 1_000;

class DeviceValue extends CelObject {}

let environment: CelEnvironment | undefined;

export function deviceEnvironment(): CelEnvironment {
  environment ??= new CelEnvironment()
    .type(
      "DRADevice",
      {
        driver: "string",
        attributes: "map<string, map<string, dyn>>",
        capacity: "map<string, map<string, kubernetes.Quantity>>",
        allowMultipleAllocations: "bool",
      },
      DeviceValue,
    )
    .function("dyn.includes(dyn): bool", (list: unknown, item: unknown) =>
      Array.isArray(list) ? list.includes(item) : list === item,
    )
    .variable("device", "DRADevice");
  return environment;
}

/** One expression, asked of many devices. */
export interface CelDeviceSelector {
  /** Throws `CelError`. */
  matches(driver: string, device: Readonly<resourcev1.Device>): boolean;
}

const known = new Map<string, CelDeviceSelector | CelError>();

/** Throws `CelError` with what is wrong with the expression. */
export function deviceSelector(expression: string): CelDeviceSelector {
  let selector = known.get(expression);
  if (!selector) {
    selector = compiled(expression);
    if (known.size >= selectorsMax) known.clear();
    known.set(expression, selector);
  }
  if (selector instanceof CelError) throw selector;
  return selector;
}

function compiled(expression: string): CelDeviceSelector | CelError {
  let program: Program;
  try {
    program = deviceEnvironment().compile(expression);
  } catch (error) {
    if (error instanceof CelError) return error;
    throw error;
  }
  return {
    matches(driver, device) {
      const result = program.evaluate({ device: celValueOf(driver, device) }, new Budget(callLimit));
      if (typeof result !== "boolean") throw new CelError("CEL result of type bool expected");
      return result;
    },
  };
}

const values = new WeakMap<Readonly<resourcev1.Device>, DeviceValue>();

/** Devices are asked about again and again, and never change. */
function celValueOf(driver: string, device: Readonly<resourcev1.Device>): DeviceValue {
  let value = values.get(device);
  if (!value) {
    value = new DeviceValue([
      ["driver", driver],
      ["attributes", byDomain(driver, device.attributes, attributeValue)],
      [
        "capacity",
        byDomain(driver, device.capacity, ({ value: amount }) => parseCelQuantity(String(amount))),
      ],
      ["allowMultipleAllocations", device.allowMultipleAllocations ?? false],
    ]);
    values.set(device, value);
  }
  return value;
}

function attributeValue(attribute: Attribute): unknown {
  const { int, bool, string, version, ints, bools, strings, versions } = attribute;
  if (int !== undefined) return BigInt(int);
  if (version !== undefined) return parseCelSemver(version);
  if (ints) return ints.map(BigInt);
  if (versions) return versions.map((each) => parseCelSemver(each));
  return bool ?? string ?? bools ?? strings;
}

/** Names without a domain are of the driver's. A domain that nobody spoke of is there, and empty. */
function byDomain<T>(
  driver: string,
  entries: Readonly<Record<string, T>> | undefined,
  read: (entry: T) => unknown,
): Map<string, Map<string, unknown>> {
  const domains = new Map<string, Map<string, unknown>>();
  for (const [name, entry] of Object.entries(entries ?? {})) {
    const slash = name.indexOf("/");
    const domain = slash < 0 ? driver : name.slice(0, slash);
    const names = domains.get(domain) ?? new Map<string, unknown>();
    names.set(name.slice(slash + 1), read(entry));
    domains.set(domain, names);
  }
  const find = domains.get.bind(domains);
  return Object.defineProperties(domains, {
    get: { value: (domain: string) => find(domain) ?? new Map() },
    has: { value: () => true },
  });
}
