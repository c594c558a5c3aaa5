import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BackendOptions, Routing, Server } from "../model.ts";
import { changesBetween } from "./changes.ts";
import { assignSlots, haproxyConfig } from "./config.ts";
import { isPrintable, quote } from "./quote.ts";

const paths = { dir: "/nowhere", adminSocket: "/nowhere/admin.sock" };
const server = (n: number): Server => ({ address: `10.0.0.${n}`, port: 80 });

function routingOf(servers: Server[], options: BackendOptions = {}, host = "a.example.com"): Routing {
  return {
    frontends: [
      {
        port: 8080,
        tls: false,
        certificates: [],
        sites: [
          {
            host,
            routes: [
              {
                path: { type: "Prefix", value: "/" },
                conditions: [],
                targets: [{ backend: "b", weight: 1 }],
              },
            ],
          },
        ],
      },
    ],
    backends: new Map([["b", { id: "b", servers, options }]]),
  };
}

describe("slots", () => {
  test("servers keep theirs, whatever comes and goes", () => {
    const counts = fc.uniqueArray(fc.integer({ min: 1, max: 200 }), { maxLength: 60 });
    fc.assert(
      fc.property(counts, counts, (first, second) => {
        const before = assignSlots(first.map(server));
        const after = assignSlots(second.map(server), before);
        expect(
          after
            .filter((each) => each)
            .map((each) => each!.address)
            .sort(),
        ).toEqual(second.map((n) => server(n).address).sort());
        expect(after.length).toBeGreaterThanOrEqual(before.length);
        for (const [i, slot] of before.entries()) {
          const stays = slot && second.some((n) => server(n).address === slot.address);
          if (stays) expect(after[i]).toEqual(slot);
        }
      }),
    );
  });
});

describe("changes", () => {
  test("servers, hosts and paths need no new worker; options do", () => {
    const before = haproxyConfig(routingOf([server(1), server(2)]), paths);
    const next = (routing: Routing) => changesBetween(before, haproxyConfig(routing, paths, before));
    expect(next(routingOf([server(1), server(2)]))).toEqual({ commands: [], maps: [], certificates: [] });
    expect(next(routingOf([server(2), server(3)]))?.commands).toEqual([
      "set server b/s0 addr 10.0.0.3 port 80",
      "set server b/s0 state ready",
    ]);
    expect(next(routingOf([server(2)]))?.commands).toEqual(["set server b/s0 state maint"]);
    expect(next(routingOf([server(1), server(2)], {}, "b.example.com"))?.maps).toHaveLength(2);
    expect(next(routingOf([server(1), server(2)], { host: "x" }))).toBeUndefined();
  });
});

test("where the node has IPv6, its ports are open there too", () => {
  const routing = routingOf([server(1)]);
  const binds = () =>
    haproxyConfig(routing, paths)
      .text.split("\n")
      .filter((line) => line.startsWith("bind"));
  expect(binds()).toEqual(["bind :8080"]);
  routing.frontends[0]!.ipv6 = true;
  expect(binds()).toEqual(["bind :8080", "bind :::8080 v6only"]);
});

test("quoted text is one word of a shell's grammar, which HAProxy's is", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 40 }), (text) => {
      fc.pre(isPrintable(text) && !text.includes("\0"));
      const words = spawnSync("sh", ["-c", `printf '%s|' ${quote(text)}`]).stdout.toString();
      expect(words).toBe(`${text}|`);
    }),
    { numRuns: 40 },
  );
});
