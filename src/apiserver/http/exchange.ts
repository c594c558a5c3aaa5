/** One request and its answer, whatever brought it: a socket or a component in the same process. */
import type { User } from "../user.ts";

export interface ApiRequest {
  method: string;
  /** Path without the query, still escaped. */
  path: string;
  query: URLSearchParams;
  /** Lower-case names. */
  headers: Readonly<Record<string, string | undefined>>;
  body: Buffer;
  user: User;
  signal: AbortSignal;
}

export interface ApiResponse {
  status: number;
  headers: Record<string, string>;
  body: Buffer | AsyncIterable<Uint8Array>;
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
