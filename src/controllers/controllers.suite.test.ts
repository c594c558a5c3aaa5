/** The contract every registered controller keeps. A new one is covered by its line in the registry. */
import { expect, test } from "vitest";
import { populate, testWorld } from "./kit/world.fixture.ts";
import { controllers } from "./registry.ts";

test("names are unique", () => {
  expect(new Set(controllers.map((each) => each.name)).size).toBe(controllers.length);
});

for (const { name, rules, concurrency } of controllers) {
  test(`${name}: declares the rules it runs under`, () => {
    expect(rules.length).toBeGreaterThan(0);
    for (const each of rules) expect(each.verbs.length).toBeGreaterThan(0);
    expect(concurrency).toBeGreaterThan(0);
  });

  test(`${name}: has nothing to do in an empty world, and stops`, async () => {
    const world = testWorld();
    const running = await world.run(name);
    await world.clock.advance(60_000);
    expect(world.api.writes).toEqual([]);
    await running.stop();
    expect(world.api.watches).toBe(0);
  });

  test(`${name}: stops while the server cannot be reached`, async () => {
    const world = testWorld();
    world.api.fault = () => new Error("connection refused");
    const running = await world.run(name);
    await world.clock.advance(1_000);
    await running.stop();
  });

  test(`${name}: comes to rest, and writes nothing more after a restart`, async () => {
    const world = testWorld();
    await populate(world);
    const all = await world.run(...controllers.map((each) => each.name));
    for (let i = 0; i < 4; i++) {
      await world.clock.advance(3_000);
      await world.startPods();
    }
    await world.clock.advance(3_000);
    await all.stop();
    world.api.writes.length = 0;
    const again = await world.run(name);
    await world.clock.advance(3_000);
    await again.stop();
    expect(world.api.writes).toEqual([]);
  });
}
