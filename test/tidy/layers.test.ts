/** Imports flow one way and through front doors. */
import { expect, test } from "vitest";
import { isTest, type Source, sources } from "./sources.ts";

/** The rooms by rank: an import that crosses rooms goes to a strictly lower one. */
const ranks: Record<string, number> = {
  base: 0,
  api: 1,
  contracts: 2,
  store: 2,
  client: 2,
  cel: 2,
  apiserver: 3,
  controllers: 3,
  scheduler: 3,
  kubelet: 3,
  runtime: 3,
  network: 3,
  proxy: 3,
  dns: 3,
  ingress: 3,
  metrics: 3,
  simulator: 3,
  distro: 4,
  cli: 5,
};

const house = sources.filter((source) => source.room !== undefined);

function roomOf(target: string): string | undefined {
  return target.startsWith("#") ? target.slice(1) : /^src\/([^/]+)\//.exec(target)?.[1];
}

/** Every crossing import as «file → target». */
function crossings(allowed: (source: Source, target: string) => boolean): string[] {
  return house.flatMap((source) =>
    source.imports
      .filter((target) => roomOf(target) !== source.room && !allowed(source, target))
      .map((target) => `${source.path} → ${target}`),
  );
}

test("every room has a rank", () => {
  expect(house.filter((source) => ranks[source.room!] === undefined).map((source) => source.path)).toEqual(
    [],
  );
});

test("rooms are entered through their index", () => {
  expect(crossings((_, target) => target.startsWith("#"))).toEqual([]);
});

test("imports go to strictly lower ranks", () => {
  const lower = (source: Source, target: string) => ranks[roomOf(target)!]! < ranks[source.room!]!;
  expect(crossings((source, target) => isTest(source.path) || lower(source, target))).toEqual([]);
});

test("only the API server and the distribution import the store", () => {
  const may = new Set(["apiserver", "distro"]);
  expect(crossings((source, target) => target !== "#store" || may.has(source.room!))).toEqual([]);
});

test("no file imports itself through others", () => {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    if (done.has(path) || trail.includes(path)) return;
    for (const next of byPath.get(path)?.imports ?? []) {
      if (byPath.has(next)) visit(next, [...trail, path]);
    }
    done.add(path);
  };
  for (const source of sources) visit(source.path, []);
  expect(cycles).toEqual([]);
});

test("no file is an orphan", () => {
  // What is entered from outside: front doors, bundle entries (scripts/build.ts), processes that tests start.
  const doors = [
    /\/index\.ts$/,
    /^src\/cli\/main\.ts$/,
    /^src\/store\/writer\.ts$/,
    /^src\/distro\/dns-standby-main\.ts$/,
    /^scripts\/[^/]+\.ts$/,
    /^bench\//,
    /\/fixtures\//,
    /global-setup\.ts$/,
    /^test\/(conformance\/)?report\.ts$/,
  ];
  const imported = new Set(sources.flatMap((source) => source.imports));
  const isDoor = (path: string) =>
    doors.some((door) => door.test(path)) || /\.(test|bench|fuzz)\.ts$/.test(path);
  const orphans = sources.filter((source) => !isDoor(source.path) && !imported.has(source.path));
  expect(orphans.map((source) => source.path)).toEqual([]);
});
