/**
 * Watches of versions that a webhook makes: the stream carries stored objects, and each is converted when it is read,
 * for nobody can be asked while a change is published.
 */
import { type metav1, StatusError } from "#api";
import { CachedObject } from "../cache/cached-object.ts";
import { jsonWatchEncoder, type WatchEncoder, type WatchEventType } from "../cache/watch-stream.ts";
import { NotConverted } from "./custom-definition.ts";

/** What waits in the stream: the object's key, revision and bytes are all that a view needs. */
interface Frame {
  type: WatchEventType;
  object: CachedObject;
}

const pending = new WeakMap<Buffer, Frame>();

/** Frames stand for their objects: the stream counts their bytes and hands them on one by one. */
export const rawWatchEncoder: WatchEncoder = {
  id: () => "raw",
  encode(type, object) {
    const frame = jsonWatchEncoder.encode(type, object, false);
    pending.set(frame, { type, object });
    return frame;
  },
  encodeOther: jsonWatchEncoder.encodeOther,
  single: true,
};

export interface ConvertedView {
  show(object: CachedObject): CachedObject;
  encoder: WatchEncoder;
  /** What the watcher selects by fields of its version. */
  isSelected: ((object: CachedObject) => boolean) | undefined;
  /** The watcher knows a state from before. */
  isResumed: boolean;
}

export async function* convertedWatch(
  stream: AsyncIterable<Uint8Array>,
  view: ConvertedView,
): AsyncGenerator<Uint8Array> {
  let isFirst = true;
  const selection = new SeenSelection(view);
  for await (const chunk of stream) {
    const frame = pending.get(chunk as Buffer);
    if (!frame) {
      yield chunk;
      continue;
    }
    const object = await shown(frame.object, view.show).catch(statusOf);
    if (!(object instanceof CachedObject)) {
      yield view.encoder.encodeOther("ERROR", object);
      return;
    }
    const type = selection.typeOf(frame.type, object);
    if (!type) continue;
    yield view.encoder.encode(type, object, isFirst);
    isFirst = false;
  }
}

/** Objects enter and leave what a watcher selects; what it was told before is remembered. */
class SeenSelection {
  readonly #view: ConvertedView;
  /** Keys by whether the watcher has them. */
  readonly #told = new Map<string, boolean>();

  constructor(view: ConvertedView) {
    this.#view = view;
  }

  /** Undefined: it is none of the watcher's business. */
  typeOf(type: WatchEventType, object: CachedObject): WatchEventType | undefined {
    const { isSelected, isResumed } = this.#view;
    if (!isSelected) return type;
    const { key } = object;
    const matches = isSelected(object);
    // Of an object that was there before a resumed watch nobody can say: it may have been selected.
    const was = this.#told.get(key) ?? (isResumed && type !== "ADDED" && (type === "MODIFIED" || matches));
    const is = type !== "DELETED" && matches;
    if (type === "DELETED") this.#told.delete(key);
    else this.#told.set(key, is);
    if (is) return was ? "MODIFIED" : "ADDED";
    return was ? "DELETED" : undefined;
  }
}

/** What ends the watch: its client is told why, and starts another one. */
function statusOf(error: unknown): metav1.Status {
  if (error instanceof StatusError) return error.status;
  throw error;
}

async function shown(
  object: CachedObject,
  show: (object: CachedObject) => CachedObject,
): Promise<CachedObject> {
  try {
    return show(object);
  } catch (error) {
    if (!(error instanceof NotConverted)) throw error;
    await error.convert();
    return show(object);
  }
}
