/** How a value of a configuration file is read, and shown as it would be written. Pure. */
import { binaryQuantity, quantityValue } from "#api";
import { formatGoDuration, goDurationMs, messageOf, parseGoDuration } from "#base";
import { checkAmount, isSignal } from "../eviction/signals.ts";

export interface Codec<T> {
  /** Throws an `Error` that says what is wrong with the value; undefined: as if nothing were given. */
  read(value: unknown): T | undefined;
  show(value: T): unknown;
}

type Entries = Record<string, unknown>;

const shown = <T>(value: T) => value;

export const flag = {
  read(value: unknown): boolean {
    if (typeof value !== "boolean") throw new Error("must be true or false");
    return value;
  },
  show: shown<boolean>,
};

export function whole(min: number, max = Number.MAX_SAFE_INTEGER) {
  return {
    read(value: unknown): number {
      if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max)
        throw new Error(`must be a whole number from ${min} to ${max}`);
      return value;
    },
    show: shown<number>,
  };
}

/** Upstream's type of most numbers; what makes sense is looked at later, in upstream's words. */
export const int32 = whole(-(2 ** 31), 2 ** 31 - 1);

/** A number that need not be given. */
export const optionalInt32: Codec<number | undefined> = int32 as Codec<number | undefined>;

export function oneOf<T extends string>(...choices: T[]) {
  return {
    read(value: unknown): T {
      const choice = choices.find((each) => each === value);
      if (choice === undefined) throw new Error(`must be one of ${choices.filter(Boolean).join(", ")}`);
      return choice;
    },
    show: shown<T>,
  };
}

export function textAs<T extends string>() {
  return {
    read(value: unknown): T {
      if (typeof value !== "string") throw new Error("must be text");
      return value as T;
    },
    show: shown<T>,
  };
}

export const text = textAs<string>();

export const duration = {
  read: (value: unknown): number => parseGoDuration(text.read(value)),
  show: formatGoDuration,
};

/** Below zero it stands for "not at all". */
export const signedDuration = {
  read(value: unknown): number {
    const ms = goDurationMs(text.read(value));
    if (ms === undefined) throw new Error(`must be a duration such as 1m30s, not ${JSON.stringify(value)}`);
    return ms;
  },
  show: (ms: number) => (ms < 0 ? `-${formatGoDuration(-ms)}` : formatGoDuration(ms)),
};

export const bytes = {
  read: (value: unknown): number =>
    quantityValue(typeof value === "number" ? String(value) : text.read(value)),
  show: binaryQuantity,
};

export const texts = {
  read(value: unknown): readonly string[] {
    if (!Array.isArray(value) || !value.every((each) => typeof each === "string"))
      throw new Error("must be a list of texts");
    return value;
  },
  show: shown<readonly string[]>,
};

export const map = {
  read(value: unknown): Readonly<Record<string, string>> {
    const entries = Object.entries(objectOf(value));
    return Object.fromEntries(entries.map(([key, each]) => [key, scalar(each)]));
  },
  show: shown<Readonly<Record<string, string>>>,
};

/** One value for each name. */
export function mapOf<T>(codec: { read(value: unknown): T; show(value: T): unknown }) {
  const each = <A, B>(value: Readonly<Record<string, A>>, change: (one: A) => B) =>
    Object.fromEntries(Object.entries(value).map(([key, one]) => [key, change(one)]));
  return {
    read: (value: unknown): Readonly<Record<string, T>> => each(objectOf(value), codec.read),
    show: (value: Readonly<Record<string, T>>) => each(value, codec.show),
  };
}

/** Amounts by eviction signal. */
export const bySignal = {
  read(value: unknown): Readonly<Record<string, string>> {
    const amounts = map.read(value);
    for (const [signal, amount] of Object.entries(amounts)) {
      checkSignal(signal);
      try {
        checkAmount(amount);
      } catch (error) {
        throw new Error(`${signal} ${messageOf(error)}`);
      }
    }
    return amounts;
  },
  show: shown<Readonly<Record<string, string>>>,
};

export const durationsBySignal = {
  read(value: unknown): Readonly<Record<string, number>> {
    const durations = mapOf(duration).read(value);
    for (const signal of Object.keys(durations)) checkSignal(signal);
    return durations;
  },
  show: mapOf(duration).show,
};

function checkSignal(signal: string): void {
  if (!isSignal(signal)) throw new Error(`has an unsupported eviction signal ${signal}`);
}

function scalar(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw new Error("must map names to texts");
}

export function objectOf(value: unknown): Entries {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("must be a map");
  return value as Entries;
}

/** A list of objects, each read by `read`. */
export function listOf<T>(read: (value: Entries) => T) {
  return {
    read(value: unknown): readonly T[] {
      if (!Array.isArray(value)) throw new Error("must be a list");
      return value.map((each) => read(objectOf(each)));
    },
    show: shown<readonly T[]>,
  };
}

/** One value inside an object of its own; the object may be empty. `others` are read and have no meaning here. */
export function inside<T>(name: string, codec: Codec<T>, ...others: string[]): Codec<T> {
  return {
    read(value) {
      const { [name]: inner, ...rest } = objectOf(value);
      const other = Object.keys(rest).find((each) => !others.includes(each));
      if (other !== undefined) throw new Error(`unknown field "${other}"`);
      return inner === undefined || inner === null ? undefined : codec.read(inner);
    },
    show: (value) => ({ [name]: codec.show(value) }),
  };
}

/** What `check` throws an `Error` for is not taken. */
export function checked<T>(
  codec: { read(value: unknown): T; show(value: T): unknown },
  check: (value: T) => unknown,
) {
  return {
    read(value: unknown): T {
      const read = codec.read(value);
      check(read);
      return read;
    },
    show: codec.show,
  };
}
