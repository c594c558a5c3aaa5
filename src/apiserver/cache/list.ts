/**
 * Lists: which objects, at which revision, and where the next page starts.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list
 */
import {
  badRequest,
  expired,
  type FieldError,
  forbiddenField,
  invalidObject,
  notSupported,
  StatusError,
} from "#api";
import type { CachedObject } from "./cached-object.ts";
import type { Selection } from "./selection.ts";
import type { WatchCache } from "./watch-cache.ts";

export interface ListQuery {
  limit: number;
  continue: string;
  resourceVersion: string;
  resourceVersionMatch: string;
}

export interface Page {
  revision: number;
  objects: CachedObject[];
  /** The token of the next page, if there is one. */
  continue?: string;
  remainingItemCount?: number;
}

interface Position {
  /** -1: at whatever revision is current. */
  revision: number;
  start: string;
}

export function listPage(cache: WatchCache, selection: Selection, query: ListQuery): Page {
  validateListQuery(query);
  const position = query.continue ? positionOf(query.continue, selection.prefix) : undefined;
  const wanted = position ? position.revision : revisionWanted(cache, query);
  const revision = wanted < 0 ? cache.revision : wanted;
  if (revision < cache.oldestRevision && revision !== cache.revision) throw tooOld(revision, cache, position);
  const start = position?.start ?? selection.prefix;
  const isCurrent = revision === cache.revision;
  const scan = isCurrent
    ? cache.scan(selection.prefix, start)
    : cache.scanAt(revision, selection.prefix, start);
  const page: Page = { revision, objects: [] };
  for (const object of scan) {
    if (query.limit > 0 && page.objects.length === query.limit) {
      page.continue = tokenOf({ revision, start: object.key });
      if (!selection.isFiltered)
        page.remainingItemCount = cache.countAt(revision, selection.prefix, object.key);
      break;
    }
    if (!selection.matches || selection.matches(object)) page.objects.push(object);
  }
  return page;
}

/** -1 for «the newest», a revision where the client asks for exactly that one. */
function revisionWanted(cache: WatchCache, query: ListQuery): number {
  if (query.resourceVersion === "" || query.resourceVersion === "0") return -1;
  const revision = parseRevision(query.resourceVersion);
  requireReached(cache, revision);
  const isExact =
    query.resourceVersionMatch === "Exact" || (query.resourceVersionMatch === "" && query.limit > 0);
  return isExact ? revision : -1;
}

export function parseRevision(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw invalidOptions([
    {
      type: "FieldValueInvalid",
      field: "resourceVersion",
      message: `Invalid value: ${JSON.stringify(text)}: must be a whole number`,
    },
  ]);
}

/** A revision of the future: the client knows another store than this one. */
export function requireReached(cache: WatchCache, revision: number): void {
  if (revision <= cache.revision) return;
  const message = `Too large resource version: ${revision}, current: ${cache.revision}`;
  throw StatusError.of(504, "Timeout", message, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });
}

function invalidOptions(errors: FieldError[]): StatusError {
  return invalidObject({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
}

function validateListQuery(query: ListQuery): void {
  const { resourceVersionMatch: match, resourceVersion } = query;
  const field = "resourceVersionMatch";
  if (match === "") {
    if (query.continue === "" || resourceVersion === "" || resourceVersion === "0") return;
    throw badRequest("specifying resource version is not allowed when using continue");
  }
  const errors: FieldError[] = [];
  if (query.continue)
    errors.push(forbiddenField(field, "resourceVersionMatch is forbidden when continue is provided"));
  if (resourceVersion === "") {
    errors.push(
      forbiddenField(field, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
    );
  }
  if (match !== "Exact" && match !== "NotOlderThan") {
    errors.push(notSupported(field, match, ["Exact", "NotOlderThan", ""]));
  }
  if (match === "Exact" && resourceVersion === "0") {
    errors.push(forbiddenField(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
  }
  if (errors.length > 0) throw invalidOptions(errors);
}

function tokenOf(position: Position): string {
  return Buffer.from(
    JSON.stringify({ v: "meta.k8s.io/v1", rv: position.revision, start: position.start }),
  ).toString("base64url");
}

function positionOf(token: string, prefix: string): Position {
  try {
    const { rv, start } = JSON.parse(Buffer.from(token, "base64url").toString("utf8")) as {
      rv: unknown;
      start: unknown;
    };
    if (Number.isSafeInteger(rv) && typeof start === "string" && start.startsWith(prefix)) {
      return { revision: rv as number, start };
    }
  } catch {
    // Answered below like every other token that is not ours.
  }
  throw badRequest("continue key is not valid: it was not issued for this list");
}

function tooOld(revision: number, cache: WatchCache, position: Position | undefined): StatusError {
  if (!position) return expired(`The resourceVersion for the provided list is too old: ${revision}`);
  const error = expired(
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
  );
  const token = tokenOf({ revision: -1, start: position.start });
  return new StatusError({
    ...error.status,
    metadata: { resourceVersion: String(cache.revision), continue: token },
  });
}
