/**
 * Watches of versions that a webhook makes: the stream carries stored objects, and each is converted when it is read,
 * for nobody can be asked while a change is published.
 */
import type { CachedObject } from "../cache/cached-object.ts";
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

export async function* convertedWatch(
  stream: AsyncIterable<Uint8Array>,
  show: (object: CachedObject) => CachedObject,
  encoder: WatchEncoder,
): AsyncGenerator<Uint8Array> {
  let isFirst = true;
  for await (const chunk of stream) {
    const frame = pending.get(chunk as Buffer);
    if (!frame) {
      yield chunk;
      continue;
    }
    const object = await shown(frame.object, show);
    yield encoder.encode(frame.type, object, isFirst);
    isFirst = false;
  }
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
