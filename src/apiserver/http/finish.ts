/**
 * The last touch of an answer: for people to read, or small for the wire, where the client asks for it.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
 */
import { pipeline, Readable } from "node:stream";
import { promisify } from "node:util";
import { createGzip, gzip } from "node:zlib";
import type { ApiRequest, ApiResponse } from "./exchange.ts";
import { mediaTypes } from "./negotiation.ts";

type Asked = Pick<ApiRequest, "query" | "headers">;

/** As upstream: what programs for people fetch is laid out for them, unless they say otherwise. */
export function isPretty({ query, headers }: Asked): boolean {
  const asked = query.get("pretty");
  if (asked) return ["1", "t", "T", "true", "TRUE", "True"].includes(asked);
  return /^(?:curl|Wget|Mozilla\/5\.0)/.test(headers["user-agent"] ?? "");
}

export function prettyJson(bytes: Buffer, indent = ""): Buffer {
  const text = JSON.stringify(JSON.parse(bytes.toString("utf8")), null, 2);
  // Line breaks inside of texts are escaped: those that are left are of the layout.
  return Buffer.from(indent ? text.replaceAll("\n", `\n${indent}`) : `${text}\n`);
}

export function prettified(request: Asked, response: ApiResponse): ApiResponse {
  const { body, headers } = response;
  if (headers["content-type"] !== mediaTypes.json || !Buffer.isBuffer(body) || !isPretty(request)) {
    return response;
  }
  return { ...response, body: prettyJson(body) };
}

/** Smaller answers are not worth the work. */
const gzipMinBytes = 128 * 1024;
const options = { level: 1 };
const gzipAll = promisify(gzip);

/** On the threads of the pool, at the cheapest level. */
export async function compressed(request: Asked, response: ApiResponse): Promise<ApiResponse> {
  const { body, headers } = response;
  const size = Buffer.isBuffer(body) ? body.length : Number(headers["content-length"] ?? 0);
  if (size <= gzipMinBytes || headers["content-encoding"] || !takesGzip(request)) return response;
  const { "content-length": _, ...rest } = headers;
  const vary = rest.vary ? `${rest.vary}, Accept-Encoding` : "Accept-Encoding";
  const coded = { ...rest, "content-encoding": "gzip", vary };
  if (Buffer.isBuffer(body)) return { ...response, headers: coded, body: await gzipAll(body, options) };
  const stream = createGzip(options);
  // Whoever stops reading ends the source too; what fails ends the stream, which its reader sees.
  pipeline(Readable.from(body), stream, () => {});
  return { ...response, headers: coded, body: stream };
}

function takesGzip({ headers }: Asked): boolean {
  const accepted = headers["accept-encoding"];
  return accepted?.split(",").some((part) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$)|$)/.test(part)) ?? false;
}
