import { defineConfig } from "vitest/config";

/** What has to come about may take its time on a busy machine; a test that asks for longer says so itself. */
const expect = { poll: { timeout: 20_000 } };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          expect,
          include: ["src/**/*.test.ts", "test/{tidy,simulation,integration}/**/*.test.ts"],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "e2e",
          expect,
          include: ["test/e2e/**/*.test.ts"],
          globalSetup: ["test/e2e/global-setup.ts"],
          testTimeout: 180_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "machine",
          expect: { poll: { timeout: 120_000, interval: 500 } },
          include: ["test/machine/**/*.test.ts"],
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "conformance",
          expect,
          include: ["test/conformance/**/*.test.ts"],
          globalSetup: ["test/conformance/global-setup.ts"],
          testTimeout: 180_000,
          hookTimeout: 300_000,
          fileParallelism: false,
          maxConcurrency: 6,
        },
      },
    ],
  },
});
