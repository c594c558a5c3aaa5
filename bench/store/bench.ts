/** The same writes on the embedded store and on a real etcd: durable before they are acknowledged. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createWorld, silentLogger } from "#base";
import { openEmbeddedStore, openEtcdStore, parseDatastore, type Store } from "#store";
import { hasEtcd, startEtcd } from "../../test/integration/fixtures/etcd.ts";
import { type Benchmark, type Row, rate } from "../measure.ts";

const writers = [1, 16, 256];
const seconds = 3;
const value = Buffer.alloc(3000, "x");

async function rates(store: Store): Promise<number[][]> {
  const all: number[][] = [];
  for (const count of writers) {
    all.push(
      await rate(count, seconds, (n) =>
        store.write({ key: `/bench/${count}/${n}`, expect: 0, value: () => value }),
      ),
    );
  }
  await store.close();
  return all;
}

export default async function bench(): Promise<Benchmark> {
  const world = createWorld({ log: silentLogger });
  const folder = await mkdtemp(join(tmpdir(), "knarr-bench-"));
  try {
    const own = await rates(await openEmbeddedStore({ world, path: join(folder, "state.db") }));
    let peer: number[][] | undefined;
    if (await hasEtcd()) {
      const etcd = await startEtcd();
      peer = await rates(await openEtcdStore({ world, endpoints: parseDatastore(etcd.datastore) }));
      await etcd.remove();
    }
    const rows = writers.map((count, i): Row => {
      const row: Row = { what: `writes of 3 KB, ${count} at a time`, unit: "1/s", samples: own[i]! };
      return peer ? { ...row, peer: { name: "etcd", samples: peer[i]! } } : row;
    });
    return { title: "Store: the embedded one, and Debian's etcd behind the same contract", rows };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
