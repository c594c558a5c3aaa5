/**
 * The store on a real etcd. Every write is a transaction there; this server keeps a copy of everything, which one watch
 * of etcd feeds, and reads and watches are served from that. A write is acknowledged when the copy has it. Keys and
 * revisions are etcd's own. https://etcd.io/docs/v3.6/learning/api/
 */
import { forComponent, messageOf, type World } from "#base";
import {
  CompareError,
  type Store,
  type StoreEntry,
  type StoreEvent,
  type StoreSnapshot,
  StoreUnavailableError,
  type StoreWatch,
  type StoreWrite,
} from "./contract.ts";
import {
  EtcdClient,
  type EtcdEndpoints,
  equalResult,
  type KeyValue,
  modTarget,
  putEvent,
  type WatchResponse,
} from "./etcd-client.ts";
import { newStandIn, stamped, unstamped } from "./stamp.ts";
import { StoreState } from "./state.ts";

interface EtcdStoreOptions {
  world: World;
  endpoints: EtcdEndpoints;
}

/** Everything that starts with a slash. */
const all = { key: Buffer.from("/"), rangeEnd: Buffer.from("0") };
const pageSize = 500;
const historyMaxEvents = 20_000;
const historyMaxBytes = 64 * 1024 * 1024;
const writesMax = 65_536;
/** How long a write that etcd has taken may need to come back by the watch. */
const echoTimeoutMs = 10_000;
const retryMinMs = 100;
const retryMaxMs = 5_000;

export async function openEtcd({ world, endpoints }: EtcdStoreOptions): Promise<Store> {
  const client = new EtcdClient(endpoints, world.clock);
  try {
    const { entries, revision } = await readAll(client);
    const state = new StoreState(revision);
    for (const entry of entries) state.put(entry);
    return new EtcdStore(world, client, state);
  } catch (error) {
    client.close();
    throw error;
  }
}

/** Everything at one revision, page by page. */
async function readAll(client: EtcdClient): Promise<{ entries: StoreEntry[]; revision: number }> {
  const entries: StoreEntry[] = [];
  let revision = 0;
  let key = all.key;
  for (;;) {
    const page = await client.range({ ...all, key, revision, limit: pageSize });
    revision ||= page.header.revision;
    for (const kv of page.kvs) entries.push(entryOf(kv));
    if (!page.more) return { entries, revision };
    key = Buffer.concat([page.kvs.at(-1)!.key, Buffer.from([0])]);
  }
}

function entryOf({ key, value, createRevision, modRevision }: KeyValue): StoreEntry {
  const own = unstamped(value, modRevision);
  if (!own) throw new Error(`${key.toString()} in etcd was not written by this program`);
  return { key: key.toString(), value: own, createRevision, modRevision };
}

type Echo = (event: StoreEvent | undefined) => void;

class EtcdStore implements Store {
  readonly #world: World;
  readonly #client: EtcdClient;
  readonly #state: StoreState;
  /** The end of what waits to be written, by key: writes to one key keep their order. */
  readonly #lines = new Map<string, Promise<unknown>>();
  /** Writes that etcd has taken, by revision. */
  readonly #echoes = new Map<number, Echo>();
  #writes = 0;
  #failure: string | undefined;
  #closed = false;
  #stopWatch: () => void = () => {};
  readonly #followed: Promise<void>;

  constructor(world: World, client: EtcdClient, state: StoreState) {
    this.#world = forComponent(world, "store");
    this.#client = client;
    this.#state = state;
    this.#followed = this.#follow();
  }

  get revision(): number {
    return this.#state.revision;
  }

  get compactedRevision(): number {
    return this.#state.compacted;
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  get(key: string): Promise<StoreEntry | undefined> {
    return Promise.resolve(this.#state.get(key));
  }

  list(prefix: string): Promise<StoreSnapshot> {
    return Promise.resolve(this.#state.list(prefix));
  }

  watch(prefix: string, afterRevision: number, onEvent: (event: StoreEvent) => void): StoreWatch {
    return this.#state.watch(prefix, afterRevision, onEvent);
  }

  async write(write: StoreWrite): Promise<StoreEntry | undefined> {
    if (this.#closed) throw new StoreUnavailableError("the store is closed");
    if (this.#writes >= writesMax) throw new StoreUnavailableError("too many writes wait");
    this.#writes++;
    const { key } = write;
    const before = this.#lines.get(key) ?? Promise.resolve();
    const work = before.then(() => this.#write(write));
    const line = work.catch(() => {});
    this.#lines.set(key, line);
    try {
      return await work;
    } finally {
      this.#writes--;
      if (this.#lines.get(key) === line) this.#lines.delete(key);
    }
  }

  async compact(revision: number): Promise<void> {
    const target = Math.min(revision, this.#state.revision);
    if (target <= this.#state.compacted) return;
    this.#state.forget(target);
    await this.#client.compact(target).catch((error) => {
      // Another server may have been quicker.
      if (!/has been compacted/.test(messageOf(error))) throw error;
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#state.stopWatches();
    this.#stopWatch();
    await Promise.all(this.#lines.values());
    await this.#followed;
    this.#client.close();
  }

  async #write({ key, expect, value }: StoreWrite): Promise<StoreEntry | undefined> {
    const keyBytes = Buffer.from(key);
    const standIn = newStandIn(() => this.#world.random.float());
    const bytes = value && stamped(value(standIn), standIn);
    const { succeeded, header, responses } = await this.#transact({
      compare:
        expect === undefined
          ? []
          : [{ target: modTarget, result: equalResult, key: keyBytes, modRevision: expect }],
      success: [
        bytes ? { requestPut: { key: keyBytes, value: bytes } } : { requestDeleteRange: { key: keyBytes } },
      ],
      failure: [{ requestRange: { key: keyBytes } }],
    });
    const [response] = responses;
    if (!succeeded) {
      const [kv] = response?.responseRange?.kvs ?? [];
      throw new CompareError(key, kv && entryOf(kv));
    }
    if (!bytes && !response?.responseDeleteRange?.deleted) return undefined;
    const event = await this.#echo(header.revision);
    if (!bytes) return event?.previous;
    return event?.entry ?? this.#written(key, unstamped(bytes, header.revision)!, header.revision);
  }

  /** Of a write whose event was skipped, because the copy had to be made anew. */
  #written(key: string, value: Buffer, modRevision: number): StoreEntry {
    const known = this.#state.get(key);
    return { key, value, createRevision: known?.createRevision ?? modRevision, modRevision };
  }

  async #transact(request: object): ReturnType<EtcdClient["txn"]> {
    try {
      const answer = await this.#client.txn(request);
      this.#failure = undefined;
      return answer;
    } catch (error) {
      this.#failure = messageOf(error);
      throw error;
    }
  }

  /** Resolves when the copy has this revision. */
  #echo(revision: number): Promise<StoreEvent | undefined> {
    return new Promise((resolve, reject) => {
      const timer = this.#world.clock.after(echoTimeoutMs, () => {
        this.#echoes.delete(revision);
        reject(new StoreUnavailableError("etcd has taken the write, but its watch does not tell of it"));
      });
      const done: Echo = (event) => {
        timer.cancel();
        this.#echoes.delete(revision);
        resolve(event);
      };
      if (this.#state.revision >= revision) done(this.#pastEvent(revision));
      else this.#echoes.set(revision, done);
    });
  }

  /** The watch may be quicker than the answer to the write. */
  #pastEvent(revision: number): StoreEvent | undefined {
    if (revision - 1 < this.#state.compacted) return undefined;
    let found: StoreEvent | undefined;
    this.#state
      .watch("/", revision - 1, (event) => {
        if (event.revision === revision) found = event;
      })
      .stop();
    return found;
  }

  /** Keeps the copy up to date for as long as the store is open. */
  async #follow(): Promise<void> {
    const { clock, log } = this.#world;
    let delayMs = retryMinMs;
    while (!this.#closed) {
      const before = this.#state.revision;
      try {
        await this.#followOnce();
      } catch (error) {
        if (this.#closed) return;
        this.#failure = `etcd: ${messageOf(error)}`;
        log.warn({ err: error }, "the watch of etcd was lost; it is opened again");
      }
      delayMs = this.#state.revision > before ? retryMinMs : Math.min(retryMaxMs, delayMs * 2);
      if (!this.#closed) await clock.sleep(delayMs);
    }
  }

  async #followOnce(): Promise<void> {
    let compacted = false;
    const { ended, stop } = this.#client.watch(
      { ...all, startRevision: this.#state.revision + 1 },
      (response) => {
        if (!response.canceled) return this.#take(response);
        compacted = response.compactRevision > 0;
        stop();
      },
    );
    this.#stopWatch = stop;
    try {
      await ended;
    } catch (error) {
      if (!compacted) throw error;
    }
    if (compacted) await this.#catchUp();
  }

  #take({ created, events }: WatchResponse): void {
    if (created) this.#failure = undefined;
    for (const { type, kv } of events) {
      const key = kv.key.toString();
      const entry = type === putEvent ? entryOf(kv) : undefined;
      this.#publish({ revision: kv.modRevision, key, entry, previous: this.#state.get(key) });
    }
    const excess = this.#state.excess(historyMaxEvents, historyMaxBytes);
    if (excess !== undefined) this.#state.forget(excess);
  }

  #publish(event: StoreEvent): void {
    this.#state.publish(event);
    this.#echoes.get(event.revision)?.(event);
  }

  /** What happened meanwhile is compacted away: the difference is told instead, as of now. */
  async #catchUp(): Promise<void> {
    const { entries, revision } = await readAll(this.#client);
    const present = new Map(entries.map((entry) => [entry.key, entry]));
    const gone = this.#state.list("/").entries.filter(({ key }) => !present.has(key));
    const changed = entries.filter((entry) => this.#state.get(entry.key)?.modRevision !== entry.modRevision);
    const events: StoreEvent[] = [
      ...changed.map((entry) => ({
        revision: entry.modRevision,
        key: entry.key,
        entry,
        previous: this.#state.get(entry.key),
      })),
      ...gone.map((previous) => ({ revision, key: previous.key, entry: undefined, previous })),
    ];
    events.sort((a, b) => a.revision - b.revision);
    for (const event of events) this.#publish(event);
    this.#state.forget(revision);
    for (const [waiting, echo] of [...this.#echoes]) if (waiting <= revision) echo(undefined);
  }
}
