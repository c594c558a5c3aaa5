import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { findProgram } from "#base";
import type { BackendOptions, Routing, Server } from "../model.ts";
import { changesBetween } from "./changes.ts";
import { assignSlots, haproxyConfig, isMappable, mapText } from "./config.ts";
import { isPrintable, quote } from "./quote.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-haproxy-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const paths = { dir, adminSocket: join(dir, "admin.sock") };
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

const hostile = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.stringMatching(/^[%{}[\]()'"\\$#; /.a-z*?+|^&!-]{0,20}$/),
  fc.constantFrom(
    "%[src]",
    "' } http-request deny #",
    "\\",
    "a b",
    '"',
    "%%",
    "$(id)",
    "#x",
    "\\1",
    "--",
    "-f",
  ),
);
const printable = hostile.filter(isPrintable);
const filled = printable.filter((text) => text.length > 0);
const word = printable.map((text) => `/${text}`).filter(isMappable);

const options: fc.Arbitrary<BackendOptions> = fc.record(
  {
    appRoot: word,
    host: filled,
    rewrite: fc.oneof(
      word.map((to) => ({ type: "full" as const, to })),
      fc.tuple(word, word).map(([from, to]) => ({ type: "prefix" as const, from, to })),
    ),
    redirect: fc.record({ code: fc.constantFrom(301, 302), location: word }),
    answer: filled.map((text) => ({ code: 503, text })),
    cors: fc.record({
      origins: fc.array(word, { minLength: 1, maxLength: 3 }),
      methods: filled,
      headers: printable,
      credentials: fc.boolean(),
      maxAge: fc.nat(1000),
    }),
    requestHeaders: fc.array(
      fc.record({
        change: fc.constantFrom("set" as const, "add" as const),
        name: fc.constantFrom("x-a", "x.b"),
        value: filled,
      }),
      { maxLength: 3 },
    ),
    serverTimeout: fc.double({ min: 0, max: 1000, noNaN: true }),
    basicAuth: fc.record({
      realm: filled,
      users: fc.array(fc.tuple(word, fc.constant("$6$abc$def")), { maxLength: 2 }),
    }),
  },
  { requiredKeys: [] },
);

const routing: fc.Arbitrary<Routing> = fc
  .uniqueArray(
    fc.record({
      host: fc.constantFrom("", "a.example.com", "*.example.com", "**.example.com"),
      type: fc.constantFrom("Exact" as const, "Prefix" as const),
      path: word,
      conditions: fc.array(
        fc.record({
          of: fc.constantFrom("header" as const, "query" as const, "cookie" as const, "method" as const),
          name: fc.constantFrom("a", "b-c"),
          match: fc.constantFrom("Exact" as const, "Not" as const),
          value: printable,
        }),
        { maxLength: 2 },
      ),
      options,
    }),
    { minLength: 1, maxLength: 4, selector: ({ host }) => host },
  )
  .map((routes) => ({
    frontends: [
      {
        port: 8080,
        tls: false,
        certificates: [],
        sites: routes.map(({ host, type, path, conditions }, i) => ({
          host,
          routes: [
            { path: { type, value: path }, conditions, targets: [{ backend: `b${i}`, weight: 1 }] },
            {
              path: { type: "Prefix" as const, value: "/" },
              conditions: [],
              targets: [
                { backend: `b${i}`, weight: 1 },
                { backend: "b0", weight: 2 },
              ],
            },
          ],
        })),
      },
    ],
    backends: new Map(
      routes.map(({ options: wishes }, i) => [
        `b${i}`,
        { id: `b${i}`, servers: [server(1)], options: wishes },
      ]),
    ),
  }));

const haproxy = findProgram("haproxy");

/** Where HAProxy is not installed, the end-to-end tests show the same with what users write. */
test.skipIf(!haproxy)("HAProxy takes every configuration, whatever text users put into it", () => {
  fc.assert(
    fc.property(routing, (wanted) => {
      const config = haproxyConfig(wanted, paths);
      const file = join(dir, "haproxy.cfg");
      for (const [map, entries] of config.maps) {
        mkdirSync(dirname(map), { recursive: true });
        writeFileSync(map, mapText(entries));
      }
      writeFileSync(file, config.text);
      const checked = spawnSync(haproxy!, ["-c", "-f", file]);
      expect(checked.status, String(checked.stderr)).toBe(0);
      // One line in, one line out: nobody adds a directive.
      expect(config.text.split("\n").filter((line) => /^\s*$/.test(line))).toHaveLength(1);
    }),
    { numRuns: 60 },
  );
});
