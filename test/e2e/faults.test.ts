/** What can happen to the control plane: a full disk, kill -9, damage to its file, a port that is taken. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { truncate, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, runOk, seededRandom } from "#base";
import { eventually } from "./harness.ts";
import { OwnCluster, pause } from "./own-cluster.ts";
import { http1, type RawAnswer, type Send } from "./raw.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";
const headers = { "content-type": "application/json" };

function put(send: Send, method: "POST" | "PUT", name: string, value: string): Promise<RawAnswer> {
  const body = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { value } });
  return send({ method, path: method === "POST" ? configMaps : `${configMaps}/${name}`, headers, body });
}

/** The values of all ConfigMaps of the namespace, by name. */
async function valuesIn(send: Send): Promise<Map<string, string>> {
  const answer = await send({ path: configMaps });
  expect(answer.status, answer.text.slice(0, 300)).toBe(200);
  const items = answer.body!.items as { metadata: { name: string }; data?: { value?: string } }[];
  return new Map(items.map((item) => [item.metadata.name, item.data?.value ?? ""]));
}

/** Exactly one sentence and its mend, no stack. */
function expectPlainWords(stderr: string): void {
  expect(stderr).toMatch(/✗ .+\n {2}→ .+/);
  expect(stderr).not.toMatch(/^\s+at /m);
}

describe("a full disk", () => {
  let cluster: OwnCluster;
  const acknowledged = new Map<string, string>();
  const resize = (size: string) => runOk("mount", ["-o", `remount,size=${size}`, cluster.dir]);
  const filling = "f".repeat(20_000);

  beforeAll(async () => {
    cluster = await OwnCluster.make("disk", "--simulate");
    await runOk("mount", ["-t", "tmpfs", "-o", "size=12m,mode=0755", "tmpfs", cluster.dir]);
    await cluster.up();
  });
  afterAll(async () => {
    await cluster.down("--purge");
    expect(readdirSync(cluster.dir)).toEqual([]);
    await runOk("umount", [cluster.dir]);
    await cluster.remove();
  });

  test("writes get a Status that says so, and reads go on", async () => {
    const send = http1(cluster.access());
    const refused: RawAnswer[] = [];
    const writer = async (id: number) => {
      for (let i = 0; i < 1_000 && refused.length < 8; i++) {
        const answer = await put(send, "POST", `fill-${id}-${i}`, filling);
        if (answer.status === 201) acknowledged.set(`fill-${id}-${i}`, filling);
        else refused.push(answer);
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, id) => writer(id)));
    expect(refused.length).toBeGreaterThan(0);
    for (const answer of refused) {
      expect(answer.body).toMatchObject({ kind: "Status", reason: "ServiceUnavailable", code: 503 });
      expect(answer.body!.message).toMatch(/disk is full/);
      expect(answer.status).toBe(503);
    }
    expect(acknowledged.size).toBeGreaterThan(20);
    const values = await valuesIn(send);
    for (const name of acknowledged.keys()) expect(values.get(name)).toBe(filling);
    expect((await send({ path: `${configMaps}/fill-0-0` })).status).toBe(200);
    expect(await cluster.kubectl.ok(["get", "nodes", "--no-headers"])).toContain("Ready");
  });

  test("a start on the full disk says what is wrong and breaks nothing", async () => {
    await cluster.kill();
    await writeFile(join(cluster.dir, "filler"), Buffer.alloc(1)).catch(() => {});
    await run("dd", ["if=/dev/zero", `of=${join(cluster.dir, "filler")}`, "bs=4k", "count=100000"]);
    const result = await cluster.tryUp();
    expect(result.code).toBe(1);
    expectPlainWords(result.stderr);
    expect(result.stderr).toMatch(/no space left|disk is full/i);
    await runOk("rm", [join(cluster.dir, "filler")]);
  });

  test("with space again everything is there, and writes work without a restart", async () => {
    await resize("32m");
    await cluster.up();
    const send = http1(cluster.access());
    const values = await valuesIn(send);
    expect([...acknowledged.keys()].filter((name) => values.get(name) !== filling)).toEqual([]);
    let last = 201;
    for (let i = 0; i < 3_000 && last === 201; i++)
      last = (await put(send, "POST", `again-${i}`, filling)).status;
    expect(last).toBe(503);
    const pid = cluster.pid();
    await resize("64m");
    await eventually("a write", async () =>
      (await put(send, "POST", "relief", "x")).status === 201 ? true : undefined,
    );
    expect(cluster.pid()).toBe(pid);
    await cluster.down();
    await cluster.up();
    const after = await valuesIn(http1(cluster.access()));
    expect(after.get("relief")).toBe("x");
    expect([...acknowledged.keys()].filter((name) => after.get(name) !== filling)).toEqual([]);
  });
});

describe("kill -9", () => {
  let cluster: OwnCluster;
  const rounds = 5;
  const writers = 8;
  const random = seededRandom(7);

  /** What one writer knows of its object: the last acknowledged value, and what it asked for without an answer. */
  interface Known {
    acknowledged: string | undefined;
    asked: string | undefined;
  }

  beforeAll(async () => {
    cluster = await OwnCluster.make("kill", "--simulate");
    await cluster.up();
  });
  afterAll(() => cluster.remove());

  /** Creates, updates and deletes its own objects until the server does not answer any more. */
  async function write(
    send: Send,
    round: number,
    writer: number,
    known: Map<string, Known>,
  ): Promise<number> {
    let done = 0;
    for (let i = 0; i < 10_000; i++) {
      const name = `w-${round}-${writer}-${Math.floor(i / 3)}`;
      const state = known.get(name) ?? { acknowledged: undefined, asked: undefined };
      known.set(name, state);
      state.asked = i % 3 === 0 ? "created" : i % 3 === 1 ? "updated" : writer % 2 ? "kept" : undefined;
      try {
        const answer =
          state.asked === undefined
            ? await send({ method: "DELETE", path: `${configMaps}/${name}` })
            : await put(send, i % 3 === 0 ? "POST" : "PUT", name, state.asked);
        if (answer.status >= 500) return done;
        expect(answer.status, answer.text).toBeLessThan(300);
      } catch (error) {
        if (error instanceof Error && error.name === "AssertionError") throw error;
        return done;
      }
      state.acknowledged = state.asked;
      done++;
    }
    return done;
  }

  test("in a loop, while writers run: what was acknowledged is there", { timeout: 120_000 }, async () => {
    const known = new Map<string, Known>();
    let total = 0;
    for (let round = 0; round < rounds; round++) {
      const send = http1(cluster.access());
      const working = Promise.all(Array.from({ length: writers }, (_, w) => write(send, round, w, known)));
      await pause(200 + Math.floor(random.float() * 500));
      await cluster.kill();
      total += (await working).reduce((sum, done) => sum + done, 0);
      await cluster.up();
      const values = await valuesIn(http1(cluster.access()));
      for (const [name, state] of known) {
        expect([state.acknowledged, state.asked], name).toContain(values.get(name));
        known.set(name, { acknowledged: values.get(name), asked: values.get(name) });
      }
    }
    expect(total).toBeGreaterThan(rounds * writers);
  });
});

describe("damage to the store's file", () => {
  let cluster: OwnCluster;
  let file: string;
  let whole: Buffer;

  beforeAll(async () => {
    cluster = await OwnCluster.make("damage", "--simulate");
    await cluster.up();
    await put(http1(cluster.access()), "POST", "chest", "treasure-of-the-sea".repeat(50));
    await cluster.down();
    file = join(cluster.dir, "store.db");
    whole = readFileSync(file);
  });
  afterAll(() => cluster.remove());

  /** All but the counters of changes that SQLite keeps in its head. */
  function digest(): string {
    const bytes = readFileSync(file);
    return createHash("sha256").update(bytes.subarray(0, 24)).update(bytes.subarray(100)).digest("hex");
  }

  async function expectRefusal(): Promise<void> {
    const before = digest();
    const result = await cluster.tryUp();
    expect(result.code).toBe(1);
    expectPlainWords(result.stderr);
    expect(result.stderr).toContain(`the store ${file} is damaged`);
    expect(result.stderr).toMatch(/→ .*(snapshot|copy)/);
    expect(digest()).toBe(before);
  }

  test("a bit that has turned in a value is named, and the file is left as it is", async () => {
    const damaged = Buffer.from(whole);
    const at = damaged.indexOf("treasure-of-the-sea");
    expect(at).toBeGreaterThan(0);
    damaged[at + 3]! ^= 1;
    writeFileSync(file, damaged);
    await expectRefusal();
  });

  test("a head that is none, and a file that is cut off", async () => {
    const damaged = Buffer.from(whole);
    damaged.fill(0xff, 0, 64);
    writeFileSync(file, damaged);
    await expectRefusal();
    writeFileSync(file, whole);
    await truncate(file, Math.floor(whole.length / 2 / 8192) * 8192);
    await expectRefusal();
  });

  test("the file put back, everything is there", async () => {
    writeFileSync(file, whole);
    await cluster.up();
    expect((await valuesIn(http1(cluster.access()))).get("chest")).toContain("treasure");
  });

  test("a second server on the same store is refused", async () => {
    const result = await run("node", ["-e", lockHolder, file], { timeoutMs: 10_000 });
    expect(result.stdout + result.stderr).toContain("locked");
  });
});

/** Tries to write the file that a server has open. */
const lockHolder = `
  const { DatabaseSync } = require("node:sqlite");
  new DatabaseSync(process.argv[1], { timeout: 0 }).exec("BEGIN IMMEDIATE");
`;

describe("ports in use", () => {
  let cluster: OwnCluster;
  const servers: Server[] = [];

  afterAll(async () => {
    for (const server of servers) server.close();
    await cluster?.remove();
  });

  function occupy(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const server = createServer()
        .once("error", reject)
        .listen(port, "0.0.0.0", () => resolve());
      servers.push(server);
    });
  }

  const ports = () => {
    const { kubeletPort, dnsPort, apiPort } = JSON.parse(
      readFileSync(join(cluster.dir, "cluster.json"), "utf8"),
    );
    return { kubeletPort, dnsPort, apiPort } as Record<"kubeletPort" | "dnsPort" | "apiPort", number>;
  };

  test("the node's ports move out of the way; the API's port is the user's to choose", async () => {
    cluster = await OwnCluster.make("ports");
    await cluster.up();
    const first = ports();
    await cluster.down();
    await occupy(first.kubeletPort);
    await occupy(first.dnsPort);
    await cluster.up();
    const second = ports();
    expect(second.apiPort).toBe(first.apiPort);
    expect(second.kubeletPort).not.toBe(first.kubeletPort);
    expect(second.dnsPort).not.toBe(first.dnsPort);
    await cluster.down();
    await occupy(first.apiPort);
    const refused = await cluster.tryUp();
    expect(refused.code).toBe(1);
    expectPlainWords(refused.stderr);
    expect(refused.stderr).toContain(`port ${first.apiPort} is in use`);
    expect(refused.stderr).toContain("--port");
    await cluster.down("--purge");
    await cluster.expectNothingLeft();
  });
});
