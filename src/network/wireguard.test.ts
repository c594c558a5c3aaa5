import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { seededRandom } from "#base";
import {
  loadWireguardKey,
  peerCommand,
  surplusPeers,
  wireguardDeviceOf,
  wireguardKeyOf,
  wireguardPortOf,
} from "./wireguard.ts";

const anyKey = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString("base64"));
const podCidr = (slot: number, node: number) => `10.${244 - slot}.${node}.0/24`;

test("a key is made once, is nobody else's to read, and its public half is X25519's", async () => {
  const dir = await mkdtemp(join(tmpdir(), "knarr-wireguard-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const file = join(dir, "key");
  const shown = await loadWireguardKey(seededRandom(1), file);
  expect(await loadWireguardKey(seededRandom(2), file)).toBe(shown);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const secret = (await readFile(file, "utf8")).trim();
  expect([wireguardKeyOf(secret), wireguardKeyOf(shown)]).toEqual([secret, shown]);
  // Who knows the one and who knows the other agree with a third.
  const other = generateKeyPairSync("x25519");
  const raw = (text: string) => Buffer.from(text, "base64").toString("base64url");
  const publicKey = createPublicKey({
    key: { kty: "OKP", crv: "X25519", x: raw(shown) },
    format: "jwk",
  });
  const privateKey = createPrivateKey({
    key: { kty: "OKP", crv: "X25519", d: raw(secret), x: raw(shown) },
    format: "jwk",
  });
  expect(diffieHellman({ privateKey, publicKey: other.publicKey })).toEqual(
    diffieHellman({ privateKey: other.privateKey, publicKey }),
  );
});

test("whatever stands in an annotation, only a key is taken for one", () => {
  fc.assert(
    fc.property(anyKey, (key) => {
      expect(wireguardKeyOf(key)).toBe(key);
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      const key = wireguardKeyOf(text);
      expect(key === undefined || Buffer.from(key, "base64").length === 32).toBe(true);
    }),
  );
  for (const text of [undefined, "", `${"A".repeat(43)}=\n`, `-${"A".repeat(42)}=`, `${"A".repeat(44)}`])
    expect(wireguardKeyOf(text)).toBeUndefined();
});

test("a peer may send under the addresses of its pods, and is found at its node", () => {
  const peer = { key: "K", underlay: "192.0.2.7", cidrs: ["10.244.3.0/24", "fd00:10:244:3::/64"] };
  expect(peerCommand("10.244.0.0/24", peer)).toEqual([
    ...["set", wireguardDeviceOf("10.244.0.0/24"), "peer", "K", "endpoint", "192.0.2.7:51820"],
    ...["allowed-ips", "10.244.3.0/24,fd00:10:244:3::/64"],
  ]);
});

test("nodes of a cluster share a port, clusters do not; no two nodes share a device", () => {
  const [slot, node] = [fc.integer({ min: 0, max: 49 }), fc.integer({ min: 0, max: 255 })];
  fc.assert(
    fc.property(slot, node, slot, node, (slotA, a, slotB, b) => {
      const [one, two] = [podCidr(slotA, a), podCidr(slotB, b)];
      expect(wireguardPortOf(one) === wireguardPortOf(two)).toBe(slotA === slotB);
      expect(wireguardDeviceOf(one) === wireguardDeviceOf(two)).toBe(one === two);
      expect(wireguardDeviceOf(one).length).toBeLessThanOrEqual(15);
    }),
  );
});

test("those who are not wanted any more are found among those who are there", () => {
  fc.assert(
    fc.property(fc.uniqueArray(anyKey), fc.uniqueArray(anyKey), (gone, wanted) => {
      const shown = [...gone, ...wanted].map((key) => `${key}\n`).join("");
      const surplus = surplusPeers(shown, new Set(wanted));
      expect(new Set(surplus)).toEqual(new Set(gone.filter((key) => !wanted.includes(key))));
    }),
  );
  expect(surplusPeers("", new Set())).toEqual([]);
});
