/** `kill -9` while writers run, again and again on one file: nothing acknowledged is lost, nothing is torn. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { createWorld, seededRandom, silentLogger, systemClock } from "#base";
import { openEmbeddedStore } from "#store";

const folder = mkdtempSync(join(tmpdir(), "knarr-crash-"));
afterAll(() => rmSync(folder, { recursive: true }));
const child = join(import.meta.dirname, "fixtures/store-writer.ts");

interface Acknowledged {
  revision: number;
  word: string;
}

/** Runs writers until they are killed; answers the last acknowledged write of each key. */
async function runAndKill(
  path: string,
  round: number,
  killAfterMs: number,
  failpoints: string,
): Promise<Map<string, Acknowledged>> {
  const writers = spawn(process.execPath, [child, path, String(round)], {
    env: { ...process.env, KNARR_FAILPOINTS: failpoints },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const acknowledged = new Map<string, Acknowledged>();
  let text = "";
  let killing = false;
  writers.stdout.on("data", (chunk: Buffer) => {
    text += chunk;
    if (killing || failpoints) return;
    killing = true;
    systemClock.after(killAfterMs, () => writers.kill("SIGKILL"));
  });
  await new Promise((resolve) => writers.on("close", resolve));
  for (const line of text.split("\n").slice(0, -1)) {
    const [key, revision, word] = line.split(" ");
    acknowledged.set(key!, { revision: Number(revision), word: word! });
  }
  return acknowledged;
}

it("survives kill -9 at random moments and at failpoints", { timeout: 120_000 }, async () => {
  const path = join(folder, "state.db");
  const random = seededRandom(20);
  const expected = new Map<string, Acknowledged>();
  let lastRevision = 1;
  const rounds = [...Array.from({ length: 12 }, () => ""), "store/append=kill", "store/appended=kill"];
  for (const [round, failpoints] of rounds.entries()) {
    const acknowledged = await runAndKill(path, round, 5 + random.int(150), failpoints);
    for (const [key, value] of acknowledged) expected.set(key, value);
    const store = await openEmbeddedStore({ world: createWorld({ log: silentLogger }), path });
    expect(store.revision).toBeGreaterThanOrEqual(lastRevision);
    lastRevision = store.revision;
    for (const [key, { revision, word }] of expected) {
      const entry = await store.get(key);
      expect(entry?.modRevision).toBeGreaterThanOrEqual(revision);
      const words = entry!.value.toString().trim().split(" ");
      expect(new Set(words).size).toBe(1);
      if (entry!.modRevision === revision) expect(words[0]).toBe(word);
    }
    await store.close();
  }
  expect(expected.size).toBe(160);
});
