import { closeSync, existsSync, openSync } from "node:fs";
import { expect, test } from "vitest";
import { createLogger, logDestination } from "./log.ts";

test.skipIf(!existsSync("/dev/full"))("a full disk stops no one who logs", () => {
  const fd = openSync("/dev/full", "w");
  const log = createLogger({ destination: logDestination(fd) });
  // More than may wait: the rest is dropped.
  for (let i = 0; i < 3_000; i++) expect(() => log.error({ words: "x".repeat(1_000) }, "full")).not.toThrow();
  closeSync(fd);
});
