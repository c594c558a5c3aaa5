/** Paths that whoever starts the server adds: JSON in, JSON out, behind the same front and the same authentication. */
import { forbidden, methodNotAllowed } from "#api";
import type { User } from "../user.ts";
import { parseBody } from "./body.ts";
import { type ApiRequest, type ApiResponse, jsonResponse } from "./exchange.ts";

export interface Extension {
  /** The whole path: `/knarr/v1/join`. */
  path: string;
  /** Only members may call it. */
  group: string;
  /** Throws a `StatusError` for what is the caller's fault. */
  handle(body: unknown, user: User): Promise<unknown>;
}

export async function callExtension(extension: Extension, request: ApiRequest): Promise<ApiResponse> {
  const subject = { group: "", resource: extension.path };
  if (request.method !== "POST") throw methodNotAllowed(subject, request.method.toLowerCase());
  if (!request.user.groups.includes(extension.group)) {
    throw forbidden(subject, "", `only members of ${extension.group} may call it`);
  }
  const { value } = await parseBody(request, extension.path);
  return jsonResponse(200, await extension.handle(value, request.user));
}
