import fc from "fast-check";
import { expect, test } from "vitest";
import { type ChannelProtocol, chooseProtocol, decodeMessage, encodeMessage } from "./channels.ts";

const named = (name: string): ChannelProtocol => chooseProtocol([name])!;

test("the best protocol that both know is chosen", () => {
  expect(chooseProtocol(["channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"])?.name).toBe(
    "v5.channel.k8s.io",
  );
  expect(chooseProtocol(["v9.channel.k8s.io", "channel.k8s.io"])?.name).toBe("channel.k8s.io");
  expect(chooseProtocol([])).toMatchObject({ name: "", status: false, halfClose: false });
  expect(chooseProtocol(["v9.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"])).toBeUndefined();
});

test("only v5 half-closes; from v4 on the outcome is a Status", () => {
  const names = ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "base64.channel.k8s.io"];
  expect(names.map((n) => named(n).halfClose)).toEqual([true, false, false, false]);
  expect(names.map((n) => named(n).status)).toEqual([true, true, false, false]);
});

test.each(["v5.channel.k8s.io", "v4.base64.channel.k8s.io"])("%s keeps channel and bytes", (name) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4 }), fc.uint8Array({ maxLength: 100 }), (channel, bytes) => {
      const message = Buffer.from(encodeMessage(named(name), channel, Buffer.from(bytes)));
      expect(decodeMessage(named(name), message)).toEqual({ channel, bytes: Buffer.from(bytes) });
    }),
  );
});

test("base64 is text that begins with a digit", () => {
  expect(encodeMessage(named("base64.channel.k8s.io"), 1, Buffer.from("hi"))).toBe("1aGk=");
});

test("whatever a client sends is a message or none", () => {
  for (const name of ["v5.channel.k8s.io", "base64.channel.k8s.io"])
    expect(decodeMessage(named(name), Buffer.alloc(0))).toBeUndefined();
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 50 }), (bytes) => {
      expect(decodeMessage(named("base64.channel.k8s.io"), Buffer.from(bytes))).toBeDefined();
    }),
  );
});
