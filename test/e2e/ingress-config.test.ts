/** What users write into Ingresses and routes never becomes a directive: HAProxy itself is asked. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { findProgram } from "#base";
import { haproxyConfig, isMappable, mapText } from "../../src/ingress/haproxy/config.ts";
import { isPrintable } from "../../src/ingress/haproxy/quote.ts";
import type { BackendOptions, Routing } from "../../src/ingress/model.ts";

const haproxy = findProgram("haproxy") ?? "haproxy";
const dir = mkdtempSync(join(tmpdir(), "knarr-haproxy-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

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
        { id: `b${i}`, servers: [{ address: "10.0.0.1", port: 80 }], options: wishes },
      ]),
    ),
  }));

test("HAProxy takes every configuration, whatever text users put into it", () => {
  fc.assert(
    fc.property(routing, (wanted) => {
      const config = haproxyConfig(wanted, { dir, adminSocket: join(dir, "admin.sock") });
      const file = join(dir, "haproxy.cfg");
      for (const [map, entries] of config.maps) writeFileSync(map, mapText(entries));
      writeFileSync(file, config.text);
      const checked = spawnSync(haproxy, ["-c", "-f", file]);
      expect(checked.status, String(checked.stderr)).toBe(0);
      // One line in, one line out: nobody adds a directive.
      expect(config.text.split("\n").filter((line) => /^\s*$/.test(line))).toHaveLength(1);
    }),
    { numRuns: 60 },
  );
});
