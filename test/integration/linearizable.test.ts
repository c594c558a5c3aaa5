/**
 * Random clients over real sockets against one model: what each of them was told fits one order of all writes, and every
 * answer is of a moment between its question and itself. Pages of a list are of one moment, whatever is written meanwhile.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { configMaps, type corev1, StatusError } from "#api";
import { type Random, seededRandom } from "#base";
import { type Client, createClient, httpsTransport } from "#client";
import { type SecureServer, startSecureServer, staticToken } from "./fixtures/secure-server.ts";

let server: SecureServer;
const clients: Client[] = [];

beforeAll(async () => {
  server = await startSecureServer();
  for (let i = 0; i < 4; i++) {
    const { url } = server.api;
    clients.push(createClient(httpsTransport({ url, ca: server.authority.cert, token: staticToken })));
  }
});
afterAll(async () => {
  for (const client of clients) await client.transport.close();
  await server?.stop();
});

type ConfigMap = corev1.ConfigMap;

/** What one client did; times count questions and answers of all clients. */
interface Operation {
  verb: "get" | "create" | "update" | "delete";
  name: string;
  asked: number;
  answered: number;
  /** Of what it wanted to change. */
  expected: number | undefined;
  /** Of what it read or wrote; undefined where it was refused. */
  revision: number | undefined;
  code: number;
}

/** One state of a key, as the watch told of it. */
interface State {
  revision: number;
  isPresent: boolean;
}

const revisionOf = ({ metadata }: { metadata: { resourceVersion?: string } }) =>
  Number(metadata.resourceVersion);

async function everyEvent(namespace: string, signal: AbortSignal): Promise<Map<string, State[]>> {
  const states = new Map<string, State[]>();
  const add = (name: string, state: State) => states.set(name, [...(states.get(name) ?? []), state]);
  const watching = clients[0]!.watch(configMaps, { namespace, resourceVersion: "1", signal });
  try {
    for await (const { type, object } of watching) {
      add(object.metadata.name, { revision: revisionOf(object), isPresent: type !== "DELETED" });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return states;
}

async function live(
  client: Client,
  random: Random,
  names: string[],
  tick: () => number,
): Promise<Operation[]> {
  const done: Operation[] = [];
  const known = new Map<string, ConfigMap>();
  const steps = {
    get: (ref: { namespace: string; name: string }) => client.get(configMaps, ref),
    create: (ref: { namespace: string; name: string }) =>
      client.create(configMaps, { metadata: ref, data: {} }),
    update: ({ name }: { name: string }) => {
      const data = { n: String(random.int(1e9)) };
      return client.update(configMaps, { ...known.get(name)!, data });
    },
    delete: async (ref: { namespace: string; name: string }) => {
      await client.delete(configMaps, ref);
      return undefined;
    },
  };
  for (let i = 0; i < 150; i++) {
    const name = names[random.int(names.length)]!;
    const verbs = known.has(name)
      ? (["get", "update", "update", "delete", "create"] as const)
      : (["get", "create"] as const);
    const verb = verbs[random.int(verbs.length)]!;
    const expected = verb === "update" ? revisionOf(known.get(name)!) : undefined;
    const operation: Operation = {
      verb,
      name,
      asked: tick(),
      answered: 0,
      expected,
      revision: undefined,
      code: 200,
    };
    try {
      const object = await steps[verb]({ namespace: "default", name });
      if (object) {
        known.set(name, object);
        operation.revision = revisionOf(object);
      } else known.delete(name);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      operation.code = error.code;
      known.delete(name);
    }
    operation.answered = tick();
    done.push(operation);
  }
  return done;
}

/** Whether the key may have been in this state at some moment while the operation ran. */
function mayHaveSeen(
  states: readonly State[],
  i: number,
  { asked, answered }: Operation,
  writes: Map<number, Operation>,
): boolean {
  const begin = i < 0 ? -1 : (writes.get(states[i]!.revision)?.asked ?? -1);
  const next = states[i + 1];
  const end = next
    ? (writes.get(next.revision)?.answered ?? Number.POSITIVE_INFINITY)
    : Number.POSITIVE_INFINITY;
  return begin <= answered && asked <= end;
}

function fault(
  operation: Operation,
  states: readonly State[],
  writes: Map<number, Operation>,
): string | undefined {
  const { verb, code, revision, expected } = operation;
  const may = (wanted: (state: State | undefined) => boolean) => {
    for (let i = -1; i < states.length; i++) {
      if (wanted(states[i]) && mayHaveSeen(states, i, operation, writes)) return true;
    }
    return false;
  };
  if (code === 404) return may((state) => !state?.isPresent) ? undefined : "not found, though it was there";
  if (code === 409 && verb === "create")
    return may((state) => state?.isPresent === true) ? undefined : "exists, though it did not";
  if (code === 409)
    return may((state) => state?.revision !== expected) ? undefined : "conflict, though nobody wrote";
  if (code !== 200) return `answered ${code}`;
  if (verb === "get")
    return may((state) => state?.revision === revision && state?.isPresent === true)
      ? undefined
      : "read what was not there at that time";
  if (verb === "delete") return undefined;
  const at = states.findIndex((state) => state.revision === revision);
  const before = at > 0 ? states[at - 1] : undefined;
  if (at < 0) return "written, but nobody saw it";
  if (verb === "create") return before?.isPresent ? "created over another" : undefined;
  return before?.revision === expected && before?.isPresent ? undefined : "updated over another's write";
}

it.each([1, 2, 3])("what clients are told fits one order of all writes (seed %i)", async (seed) => {
  const names = [`k${seed}-a`, `k${seed}-b`];
  const stop = new AbortController();
  const watched = everyEvent("default", stop.signal);
  let time = 0;
  const tick = () => time++;
  const all = await Promise.all(
    clients.map((client, i) => live(client, seededRandom(seed * 100 + i), names, tick)),
  );
  const operations = all.flat();
  // Whatever comes last comes after all the others.
  const last = await clients[0]!.create(configMaps, {
    metadata: { namespace: "default", name: `last-${seed}` },
  });
  await expect
    .poll(
      async () =>
        (await clients[1]!.get(configMaps, { namespace: "default", name: last.metadata.name })).metadata.uid,
    )
    .toBe(last.metadata.uid);
  await new Promise((resolve) => setTimeout(resolve, 100));
  stop.abort();
  const states = await watched;
  for (const name of names) {
    const history = states.get(name) ?? [];
    const own = operations.filter((operation) => operation.name === name);
    const writes = new Map(
      own
        .filter(({ verb, revision }) => verb !== "get" && revision)
        .map((operation) => [operation.revision!, operation]),
    );
    const deletions = own.filter(({ verb, code }) => verb === "delete" && code === 200).length;
    expect(history.filter(({ isPresent }) => !isPresent)).toHaveLength(deletions);
    const faults = own.flatMap((operation) => {
      const wrong = fault(operation, history, writes);
      return wrong ? [{ wrong, operation }] : [];
    });
    expect(faults).toEqual([]);
  }
});

it.each([1, 2])(
  "pages of a list are of one moment, whatever is written meanwhile (seed %i)",
  async (seed) => {
    const random = seededRandom(seed);
    const [writer, reader] = clients as [Client, Client];
    const namespace = "kube-public";
    const names = Array.from({ length: 30 }, (_, i) => `page-${i}`);
    /** Every state of the namespace, by revision. */
    const stop = new AbortController();
    const watched = everyEvent(namespace, stop.signal);
    let isDone = false;
    const writing = (async () => {
      while (!isDone) {
        const ref = { namespace, name: names[random.int(names.length)]! };
        const data = { n: String(random.int(1e9)) };
        try {
          await writer.create(configMaps, { metadata: ref, data });
        } catch {
          if (random.float() < 0.5) await writer.delete(configMaps, ref);
          else await writer.patch(configMaps, ref, "merge", { data });
        }
      }
    })();
    const lists: { revision: number; seen: [string, number][] }[] = [];
    for (let i = 0; i < 25; i++) {
      const seen: [string, number][] = [];
      const revisions = new Set<string>();
      let token = "";
      do {
        const query = new URLSearchParams({
          limit: String(1 + random.int(7)),
          ...(token ? { continue: token } : {}),
        });
        const answer = await reader.transport.send({
          method: "GET",
          path: `/api/v1/namespaces/${namespace}/configmaps?${query}`,
        });
        const chunks: Uint8Array[] = [];
        for await (const chunk of answer.body) chunks.push(chunk);
        const page = JSON.parse(Buffer.concat(chunks).toString()) as {
          metadata: { resourceVersion: string; continue?: string };
          items: ConfigMap[];
        };
        for (const item of page.items) seen.push([item.metadata.name, revisionOf(item)]);
        revisions.add(page.metadata.resourceVersion);
        token = page.metadata.continue ?? "";
      } while (token);
      expect(revisions.size).toBe(1);
      lists.push({ revision: Number([...revisions][0]), seen });
    }
    isDone = true;
    await writing;
    await new Promise((resolve) => setTimeout(resolve, 100));
    stop.abort();
    const states = await watched;
    for (const { revision, seen } of lists) {
      const then = [...states].flatMap(([name, history]): [string, number][] => {
        const state = history.findLast((each) => each.revision <= revision);
        return state?.isPresent ? [[name, state.revision]] : [];
      });
      expect(seen).toEqual(then.sort(([a], [b]) => (a < b ? -1 : 1)));
    }
  },
);
