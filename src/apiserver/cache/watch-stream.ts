/**
 * One watch: the initial state or the missed changes first, then every change as it is published. A watcher that does
 * not read is dropped with 410 when its queue is full; nothing is buffered without bound.
 */
import {
  apiVersionOf,
  expired,
  internalError,
  type KubernetesObject,
  type ResourceDefinition,
  type StatusError,
} from "#api";
import { type Clock, messageOf } from "#base";
import { letStandFor } from "#client";
import type { CachedObject } from "./cached-object.ts";
import type { Selection } from "./selection.ts";
import type { CacheEvent, WatchCache } from "./watch-cache.ts";

export type WatchEventType = "ADDED" | "MODIFIED" | "DELETED";

/** Turns events into frames of one representation. Equal ids give equal frames: watchers share them. */
export interface WatchEncoder {
  id(isFirst: boolean): string;
  /** `source`: what the object's bytes say, where that is at hand; everybody's. */
  encode(
    type: WatchEventType,
    object: CachedObject,
    isFirst: boolean,
    source?: Readonly<KubernetesObject>,
  ): Buffer;
  /** Frames are handed on one by one: whoever reads them takes each for itself. */
  readonly single?: boolean;
  /** BOOKMARK and ERROR frames. */
  encodeOther(type: "BOOKMARK" | "ERROR", object: unknown): Buffer;
}

export interface WatchRequest {
  /** Names bookmarks: a version may be watched that is not the stored one. */
  definition: Pick<ResourceDefinition, "group" | "version" | "kind">;
  selection: Selection;
  encoder: WatchEncoder;
  /** Undefined: send the state first. */
  afterRevision: number | undefined;
  bookmarks: boolean;
  /** Mark the end of the initial state with the bookmark that WatchList asks for. */
  initialEventsEnd: boolean;
  timeoutMs: number;
}

const queueMaxFrames = 10_000;
const queueMaxBytes = 32 * 1024 * 1024;
/** Frames that wait together are sent together. */
const chunkBytes = 64 * 1024;
const bookmarkEveryMs = 60_000;
const initialEventsEndAnnotation = "k8s.io/initial-events-end";

export class WatchStream implements AsyncIterable<Uint8Array> {
  readonly #cache: WatchCache;
  readonly #request: WatchRequest;
  /** What was there when the watch began, oldest first; each becomes a frame only when it is read. */
  #initial: readonly (() => Buffer | undefined)[];
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #isFirst = true;
  #closed = false;
  #wake: (() => void) | undefined;
  readonly #release: (() => void)[] = [];

  /** Registers at once: nothing is missed between now and the first read. Throws 410 for a revision that is gone. */
  constructor(cache: WatchCache, request: WatchRequest, clock: Clock) {
    this.#cache = cache;
    this.#request = request;
    this.#initial = this.#prepareInitial();
    this.#release.push(
      cache.listen((event) => this.#take(event)),
      cache.onClose(() => this.close()),
    );
    if (request.bookmarks) {
      const timer = clock.every(bookmarkEveryMs, () => this.#push(this.#bookmark(cache.revision, false)));
      this.#release.push(() => timer.cancel());
    }
    const timeout = clock.after(request.timeoutMs, () => {
      // Who watches something that seldom changes would come back with a revision that is long gone.
      if (request.bookmarks) this.#push(this.#bookmark(cache.revision, false));
      this.close();
    });
    this.#release.push(() => timeout.cancel());
  }

  /** Called once when the watch has ended, for whatever reason. */
  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#release.push(listener);
  }

  /** Ends the stream in good order; what is queued is still sent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const release of this.#release) release();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    try {
      yield* this.#initialChunks();
      for (;;) {
        while (this.#queue.length > 0) yield this.#takeChunk();
        if (this.#closed) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      this.#queue = [];
      this.close();
    }
  }

  #prepareInitial(): (() => Buffer | undefined)[] {
    const { afterRevision, selection } = this.#request;
    const revision = this.#cache.revision;
    if (afterRevision === undefined) {
      const objects = [...this.#cache.scan(selection.prefix)].filter((o) => selection.matches?.(o) ?? true);
      const frames = objects.map((object) => () => this.#encode("ADDED", object, undefined));
      return this.#request.initialEventsEnd ? [...frames, () => this.#bookmark(revision, true)] : frames;
    }
    if (afterRevision < this.#cache.oldestRevision) throw tooOld(afterRevision, this.#cache.oldestRevision);
    return this.#cache.eventsAfter(afterRevision).map((event) => () => this.#frameOf(event));
  }

  *#initialChunks(): Generator<Uint8Array> {
    let chunk: Buffer[] = [];
    let size = 0;
    for (const make of this.#initial) {
      const frame = make();
      if (!frame) continue;
      chunk.push(frame);
      size += frame.length;
      if (size < chunkBytes && !this.#request.encoder.single) continue;
      yield chunk.length === 1 ? frame : Buffer.concat(chunk, size);
      chunk = [];
      size = 0;
    }
    this.#initial = [];
    if (size > 0) yield Buffer.concat(chunk, size);
  }

  /** Whatever goes wrong with one watcher's view ends that watch, and nothing else. */
  #take(event: CacheEvent): void {
    try {
      this.#publish(event);
    } catch (error) {
      this.#fail(internalError(messageOf(error)));
    }
  }

  /** The last the watcher hears. */
  #fail({ status }: StatusError): void {
    this.#queue = [this.#request.encoder.encodeOther("ERROR", status)];
    this.close();
  }

  #publish(event: CacheEvent): void {
    // The very first frame of a table brings its columns: what is read first is the initial state.
    if (this.#initial.length > 0) this.#isFirst = false;
    const frame = this.#frameOf(event);
    if (frame) this.#push(frame);
  }

  #push(frame: Buffer): void {
    if (this.#closed) return;
    if (this.#queue.length >= queueMaxFrames || this.#queuedBytes + frame.length > queueMaxBytes) {
      this.#fail(tooOld(this.#cache.revision, this.#cache.revision));
      return;
    }
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    this.#wake?.();
  }

  #takeChunk(): Buffer {
    let count = 0;
    let size = 0;
    const countMax = this.#request.encoder.single ? 1 : this.#queue.length;
    while (count < countMax && (count === 0 || size + this.#queue[count]!.length <= chunkBytes)) {
      size += this.#queue[count++]!.length;
    }
    const frames = this.#queue.splice(0, count);
    this.#queuedBytes -= size;
    return frames.length === 1 ? frames[0]! : Buffer.concat(frames, size);
  }

  /** What this watcher is told: objects enter and leave its selection. */
  #frameOf(event: CacheEvent): Buffer | undefined {
    const { prefix, matches } = this.#request.selection;
    if (!event.key.startsWith(prefix)) return undefined;
    const is = event.current !== undefined && (matches?.(event.current) ?? true);
    const was = event.previous !== undefined && (matches?.(event.previous) ?? true);
    if (is) return this.#encode(was ? "MODIFIED" : "ADDED", event.current!, event);
    return was ? this.#encode("DELETED", event.deleted, event) : undefined;
  }

  #encode(type: WatchEventType, object: CachedObject, event: CacheEvent | undefined): Buffer {
    const { encoder } = this.#request;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    const id = `${type} ${encoder.id(isFirst)}`;
    const shared = event?.frames?.get(id);
    if (shared) return shared;
    const source = event && sourceOf(event, object);
    const frame = encoder.encode(type, object, isFirst, source);
    event?.frames?.set(id, frame);
    return frame;
  }

  #bookmark(revision: number, isInitialEnd: boolean): Buffer {
    const { definition } = this.#request;
    const annotations = isInitialEnd ? { annotations: { [initialEventsEndAnnotation]: "true" } } : {};
    const metadata = { resourceVersion: String(revision), creationTimestamp: null, ...annotations };
    return this.#request.encoder.encodeOther("BOOKMARK", {
      kind: definition.kind,
      apiVersion: apiVersionOf(definition),
      metadata,
    });
  }
}

/** What the object's bytes say, where that is at hand. */
function sourceOf(event: CacheEvent, object: CachedObject): Readonly<KubernetesObject> | undefined {
  const { source, current, revision } = event;
  if (!source || current === object) return source;
  if (current || object.revision !== revision) return undefined;
  return { ...source, metadata: { ...source.metadata, resourceVersion: String(revision) } };
}

function tooOld(revision: number, oldest: number): StatusError {
  return expired(`too old resource version: ${revision} (${oldest})`);
}

/** Newline-delimited JSON around the stored bytes. */
export const jsonWatchEncoder: WatchEncoder = {
  id: () => "json",
  encode: (type, object) => Buffer.concat([frameHead[type], object.bytes, frameTail]),
  encodeOther: (type, object) => Buffer.from(`${JSON.stringify({ type, object })}\n`),
};

/** For readers in this process: one object for all of them, parsed by nobody. */
export const sharedWatchEncoder: WatchEncoder = {
  id: () => "shared",
  encode(type, object, _isFirst, source) {
    const frame = Buffer.from("\n");
    letStandFor(frame, { type, object: source ?? object.parse() });
    return frame;
  },
  encodeOther: jsonWatchEncoder.encodeOther,
  single: true,
};

const frameHead: Record<WatchEventType, Buffer> = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
};
const frameTail = Buffer.from("}\n");

/** Frames around something that is made of the parsed object: tables, metadata only. */
export function convertingWatchEncoder(
  id: string,
  convert: (object: KubernetesObject, isFirst: boolean) => unknown,
): WatchEncoder {
  return {
    id: (isFirst) => `${id} ${isFirst}`,
    encode: (type, object, isFirst) =>
      Buffer.from(`${JSON.stringify({ type, object: convert(object.parse(), isFirst) })}\n`),
    encodeOther: jsonWatchEncoder.encodeOther,
  };
}
