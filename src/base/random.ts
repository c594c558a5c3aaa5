/** Randomness, injected: the machine's in production, seeded in tests and simulations. */
import { randomBytes } from "node:crypto";

export interface Random {
  /** In [0, 1). */
  float(): number;
  /** A whole number in [0, bound). */
  int(bound: number): number;
  bytes(length: number): Buffer;
  /** RFC 9562 version 4. */
  uuid(): string;
  /** `length` characters of Kubernetes' own alphabet for generated names: no vowels, no look-alikes. */
  suffix(length: number): string;
}

/** https://github.com/kubernetes/apimachinery/blob/master/pkg/util/rand/rand.go */
const suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";

function randomOver(bytes: (length: number) => Buffer): Random {
  const float = () => bytes(6).readUIntBE(0, 6) / 2 ** 48;
  const int = (bound: number) => Math.floor(float() * bound);
  return {
    float,
    int,
    bytes,
    uuid() {
      const b = bytes(16);
      b[6] = (b[6]! & 0x0f) | 0x40;
      b[8] = (b[8]! & 0x3f) | 0x80;
      const hex = b.toString("hex");
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    },
    suffix(length) {
      let text = "";
      for (let i = 0; i < length; i++) text += suffixAlphabet[int(suffixAlphabet.length)];
      return text;
    },
  };
}

/** How much randomness is fetched from the kernel at once: one system call serves hundreds of names. */
const poolBytes = 4096;

function pooled(): (length: number) => Buffer {
  let pool = Buffer.alloc(0);
  let used = 0;
  return (length) => {
    if (length > poolBytes / 4) return randomBytes(length);
    if (used + length > pool.length) {
      pool = randomBytes(poolBytes);
      used = 0;
    }
    const out = Buffer.from(pool.subarray(used, used + length));
    used += length;
    return out;
  };
}

/** Cryptographically strong. */
export const systemRandom: Random = randomOver(pooled());

/** The same numbers for the same seed (xorshift128); never for secrets. */
export function seededRandom(seed: number): Random {
  let [x, y, z, w] = [seed | 0 || 1, 362436069, 521288629, 88675123];
  const next = () => {
    const t = x ^ (x << 11);
    [x, y, z] = [y, z, w];
    w = w ^ (w >>> 19) ^ (t ^ (t >>> 8));
    return w >>> 0;
  };
  return randomOver((length) => Buffer.from(Array.from({ length }, () => next() & 0xff)));
}
