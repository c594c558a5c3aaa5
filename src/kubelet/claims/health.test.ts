import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createWorld, silentLogger, VirtualClock } from "#base";
import { startTestClaimDriver } from "../testing/claim-driver.ts";
import { createClaimHealth } from "./health.ts";

async function start() {
  const root = mkdtempSync(join(tmpdir(), "knarr-health-"));
  const driver = await startTestClaimDriver(root, "toys", []);
  const clock = new VirtualClock();
  const changes: string[] = [];
  const health = createClaimHealth(createWorld({ log: silentLogger, clock }), (name) => changes.push(name));
  onTestFinished(() => {
    health.forget("toys");
    driver.stop();
    rmSync(root, { recursive: true, force: true });
  });
  health.follow("toys", join(root, "plugins", "toys", "dra.sock"));
  await expect.poll(() => driver.listening).toBe(1);
  return {
    driver,
    clock,
    changes,
    of: (deviceName: string) => health.of({ driver: "toys", poolName: "p", deviceName }),
  };
}

const device = (deviceName: string) => ({ poolName: "p", deviceName });

test("a device is as its driver tells, and unknown when nobody has told for a while", async () => {
  const { driver, clock, changes, of } = await start();
  expect(of("drum")).toEqual({ health: "Unknown" });
  driver.tell([
    { device: device("drum"), health: "HEALTHY" },
    {
      device: device("horn"),
      health: "UNHEALTHY",
      message: "x".repeat(2000),
      healthCheckTimeoutSeconds: 100,
    },
  ]);
  await expect.poll(() => of("drum")).toEqual({ health: "Healthy" });
  expect(of("horn")).toEqual({ health: "Unhealthy", message: `${"x".repeat(1021)}...` });
  expect(changes).toEqual(["toys"]);
  await clock.advance(31_000);
  expect([of("drum").health, of("horn").health]).toEqual(["Unknown", "Unhealthy"]);
  await clock.advance(70_000);
  expect(of("horn").health).toBe("Unknown");
});

test("what is no news wakes nobody", async () => {
  const { driver, changes, of } = await start();
  driver.tell([{ device: device("drum"), health: "HEALTHY" }]);
  await expect.poll(() => of("drum").health).toBe("Healthy");
  driver.tell([{ device: device("drum"), health: "HEALTHY" }]);
  driver.tell([{ device: device("horn"), health: "HEALTHY" }]);
  await expect.poll(() => of("horn").health).toBe("Healthy");
  expect(changes).toEqual(["toys", "toys"]);
});

test("a driver that hangs up is listened to again, and known for nothing meanwhile", async () => {
  const { driver, clock, changes, of } = await start();
  driver.tell([{ device: device("drum"), health: "HEALTHY" }]);
  await expect.poll(() => of("drum").health).toBe("Healthy");
  driver.hangUp();
  await expect.poll(() => of("drum").health).toBe("Unknown");
  expect(changes).toEqual(["toys", "toys"]);
  const again = async () => {
    await clock.advance(1_000);
    return driver.listening;
  };
  await expect.poll(again).toBe(1);
  driver.tell([{ device: device("drum"), health: "UNHEALTHY" }]);
  await expect.poll(() => of("drum").health).toBe("Unhealthy");
});
