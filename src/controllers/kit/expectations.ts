/**
 * No round may start from a cache that is older than the controller's own writes: it would create a pod twice.
 * Revisions are numbers that only grow, so a cache has seen a write once its revision has reached the written one.
 */
import {
  type Draft,
  isStatus,
  type KubernetesObject,
  type metav1,
  type ResourceType,
  StatusError,
} from "#api";
import type { Clock } from "#base";
import {
  type Client,
  type Informer,
  joinKey,
  type ObjectRef,
  type PatchType,
  type WriteOptions,
} from "#client";

/** A watch that is this late is broken: the informer will list again, and so may we. */
const expectationMs = 60_000;

/** A write whose answer never came: it may have happened. */
interface Unanswered {
  type: ResourceType;
  namespace: string | undefined;
  /** Absent where the server was to make it. */
  name: string | undefined;
  labels: Readonly<Record<string, string>>;
}

interface Expected {
  /** The revision each cache must reach. */
  revisions: Map<Informer, number>;
  /** Objects that were deleted: gone, or at least marked. */
  deletions: Map<string, { informer: Informer; key: string; uid: string }>;
  untilMs: number;
}

export class Expectations {
  readonly #clock: Clock;
  readonly #informers = new Map<string, Informer>();
  readonly #expected = new Map<string, Expected>();
  readonly #unanswered = new Map<string, Unanswered[]>();

  constructor(clock: Clock, informers: Iterable<Informer>) {
    this.#clock = clock;
    for (const informer of informers) this.#informers.set(idOf(informer.type), informer);
  }

  /** The caches have seen everything that was written for this key. */
  satisfied(key: string): boolean {
    const expected = this.#expected.get(key);
    if (!expected) return true;
    const late = this.#clock.monotonic() > expected.untilMs;
    if (!late && !isSatisfied(expected)) return false;
    this.#expected.delete(key);
    return true;
  }

  /** Asks the server what became of writes without an answer, so that the caches can be waited for. */
  async inquire(key: string, client: Client): Promise<void> {
    const open = this.#unanswered.get(key);
    if (!open) return;
    for (const each of open) {
      try {
        for (const object of await candidates(each, client)) this.wrote(key, each.type, object);
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        const { type, namespace, name } = each;
        if (name !== undefined && isStatus(error, "NotFound")) this.deleted(key, type, { namespace, name });
      }
    }
    this.#unanswered.delete(key);
  }

  wrote(key: string, type: ResourceType, object: KubernetesObject): void {
    const informer = this.#informers.get(idOf(type));
    const revision = Number(object.metadata?.resourceVersion);
    if (!informer || !(revision > informer.revision)) return;
    const { revisions } = this.#of(key);
    revisions.set(informer, Math.max(revision, revisions.get(informer) ?? 0));
  }

  deleted(key: string, type: ResourceType, ref: ObjectRef): void {
    const informer = this.#informers.get(idOf(type));
    const objectKey = joinKey(ref.namespace, ref.name);
    const object = informer?.byKey(objectKey);
    if (!informer || !object) return;
    const uid = object.metadata.uid;
    this.#of(key).deletions.set(uid, { informer, key: objectKey, uid });
  }

  /** The client that notes what is written in the name of `key`. */
  tracking(client: Client, key: string): Client {
    const answered = async <T>(type: ResourceType, target: WriteTarget, write: Promise<T>): Promise<T> => {
      try {
        return await write;
      } catch (error) {
        if (!(error instanceof StatusError)) this.#lost(key, type, target);
        throw error;
      }
    };
    const wrote = async <T extends KubernetesObject>(
      type: ResourceType<T>,
      target: WriteTarget,
      write: Promise<T>,
    ): Promise<T> => {
      const object = await answered(type, target, write);
      this.wrote(key, type, object);
      return object;
    };
    return {
      transport: client.transport,
      userAgent: client.userAgent,
      get: client.get.bind(client),
      list: client.list.bind(client),
      watch: client.watch.bind(client),
      deleteCollection: client.deleteCollection.bind(client),
      post: client.post.bind(client),
      create: <T extends KubernetesObject>(type: ResourceType<T>, object: Draft<T>, options?: WriteOptions) =>
        wrote(type, object.metadata ?? {}, client.create(type, object, options)),
      update: <T extends KubernetesObject>(type: ResourceType<T>, object: Draft<T>, options?: WriteOptions) =>
        wrote(type, object.metadata ?? {}, client.update(type, object, options)),
      patch: <T extends KubernetesObject>(
        type: ResourceType<T>,
        ref: ObjectRef,
        patchType: PatchType,
        patch: unknown,
        options?: WriteOptions,
      ) => wrote(type, ref, client.patch(type, ref, patchType, patch, options)),
      delete: async (type: ResourceType, ref: ObjectRef, options?: Draft<metav1.DeleteOptions>) => {
        await answered(type, ref, client.delete(type, ref, options));
        this.deleted(key, type, ref);
      },
    };
  }

  #lost(key: string, type: ResourceType, { namespace, name, labels }: WriteTarget): void {
    if (!this.#informers.has(idOf(type))) return;
    const known = Object.entries(labels ?? {}).filter(([, value]) => value !== undefined);
    const each = { type, namespace, name, labels: Object.fromEntries(known) as Record<string, string> };
    this.#unanswered.set(key, [...(this.#unanswered.get(key) ?? []), each]);
  }

  #of(key: string): Expected {
    let expected = this.#expected.get(key);
    if (!expected) {
      expected = { revisions: new Map(), deletions: new Map(), untilMs: 0 };
      this.#expected.set(key, expected);
    }
    expected.untilMs = this.#clock.monotonic() + expectationMs;
    return expected;
  }
}

interface WriteTarget {
  namespace?: string | undefined;
  name?: string | undefined;
  labels?: Readonly<Record<string, string | undefined>>;
}

/** The object, or all that may be it. */
async function candidates(each: Unanswered, client: Client): Promise<KubernetesObject[]> {
  const { type, namespace, name, labels } = each;
  if (name !== undefined) return [await client.get(type, { namespace, name })];
  const labelSelector = Object.entries(labels)
    .map(([label, value]) => `${label}=${value}`)
    .join(",");
  return (await client.list(type, { namespace, ...(labelSelector ? { labelSelector } : {}) })).items;
}

function idOf(type: ResourceType): string {
  return `${type.group}/${type.resource}`;
}

function isSatisfied({ revisions, deletions }: Expected): boolean {
  for (const [informer, revision] of revisions) {
    if (informer.revision < revision) return false;
  }
  for (const { informer, key, uid } of deletions.values()) {
    const object = informer.byKey(key);
    if (object && object.metadata.uid === uid && !object.metadata.deletionTimestamp) return false;
  }
  return true;
}
