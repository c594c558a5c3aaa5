/** `POST /localVolumes/create` and `/delete` with `{"name": …}`: folders of this node for PersistentVolumes. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { UserError } from "#base";
import type { LocalFolders } from "../volumes/local-folders.ts";
import { HttpError, pathParts } from "./request.ts";

const bodyMaxBytes = 4096;

async function nameIn(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > bodyMaxBytes) throw new HttpError(413, "the request is too large");
  }
  try {
    const { name } = JSON.parse(Buffer.concat(chunks).toString("utf8")) as { name?: unknown };
    if (typeof name === "string") return name;
  } catch {
    // Told below.
  }
  throw new HttpError(400, 'expected {"name": "VOLUME"}');
}

export async function serveLocalVolumes(
  folders: LocalFolders,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  const [what] = pathParts(url);
  if (what !== "create" && what !== "delete") throw new HttpError(404, "404 page not found");
  if (request.method !== "POST") throw new HttpError(405, "Method Not Allowed");
  const name = await nameIn(request);
  try {
    const path = await folders[what](name);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ path }));
  } catch (error) {
    throw error instanceof UserError ? new HttpError(400, error.message) : error;
  }
}
