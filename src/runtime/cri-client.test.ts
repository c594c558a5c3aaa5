import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "#base";
import { connectRuntime } from "./cri-client.ts";

test("a runtime that does not answer is waited for as long as it may take", async () => {
  const dir = mkdtempSync(join(tmpdir(), "knarr-cri-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const socketPath = join(dir, "silent.sock");
  const server = createServer((socket) => void socket.on("error", () => {}));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const runtime = connectRuntime({ socketPath, clock: systemClock, requestMs: 300 });
  onTestFinished(() => {
    runtime.close();
    server.close();
  });
  await expect(runtime.version()).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
  await expect(runtime.stopContainer("c", 0)).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
});
