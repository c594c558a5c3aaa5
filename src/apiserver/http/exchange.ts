/** One request and its answer, whatever brought it: a socket or a component in the same process. */
import type { Readable } from "node:stream";
import type { User } from "../user.ts";

export interface ApiRequest {
  method: string;
  /** Path without the query, still escaped. */
  path: string;
  query: URLSearchParams;
  /** The query as it came, without its question mark. */
  rawQuery: string;
  /** Lower-case names. */
  headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
  /** What the body says, where it came without one: this request's own. The body is made only if it is asked for. */
  value?: unknown;
  /** The body instead, where it is not for this server: passed on as it comes. */
  stream?: Readable;
  user: User;
  /** Asked by a component of this process. */
  isLocal?: boolean;
  /** Watches of JSON may hand objects over instead of bytes: the reader is in this process and knows how. */
  sharesObjects?: boolean;
  signal: AbortSignal;
}

export interface ApiResponse {
  status: number;
  headers: Record<string, string>;
  /** `set-cookie`, the one header whose repetitions cannot be joined. */
  cookies?: readonly string[];
  body: Buffer | AsyncIterable<Uint8Array>;
  /** What a body of JSON says, for a reader in the same process; everybody's. */
  object?: () => Readonly<object>;
}

export function jsonResponse(
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): ApiResponse {
  return bytesResponse(status, "application/json", Buffer.from(`${JSON.stringify(value)}\n`), headers);
}

export function textResponse(status: number, text: string): ApiResponse {
  return bytesResponse(status, "text/plain; charset=utf-8", Buffer.from(text));
}

export function bytesResponse(
  status: number,
  contentType: string,
  body: Buffer,
  headers: Record<string, string> = {},
): ApiResponse {
  return { status, headers: { "content-type": contentType, ...headers }, body };
}
