/**
 * Acting as somebody else, for those who may. https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
 */
import { badRequest, StatusError } from "#api";
import type { User } from "../user.ts";
import type { Attributes } from "./attributes.ts";
import type { Authorizer } from "./authorizer.ts";
import { modes, type Wanted } from "./impersonation-modes.ts";

type Headers = Readonly<Record<string, string | undefined>>;

const extraPrefix = "impersonate-extra-";
/** Groups and values of extra fields that one request may bring. */
const valuesMax = 100;

/**
 * Whom the headers name, if the user may do as them what the attributes say; the user himself where they name nobody.
 * Throws 403: what the first mode that is for such a one has to say against it.
 */
export function impersonated(
  authorizer: Authorizer,
  attributesOf: () => Attributes,
  user: User,
  headers: Headers,
): User {
  const wanted = wantedBy(headers);
  if (!wanted) return user;
  const attributes = attributesOf();
  let first: StatusError | undefined;
  for (const mode of modes) {
    try {
      const played = mode(authorizer, wanted, attributes);
      if (played) return played;
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      first ??= error;
    }
  }
  throw first;
}

function wantedBy(headers: Headers): Wanted | undefined {
  const wanted = {
    username: headers["impersonate-user"] ?? "",
    groups: valuesOf(headers["impersonate-group"]),
    uid: headers["impersonate-uid"] ?? "",
    extra: extraOf(headers),
  };
  if (wanted.username) return wanted;
  if (wanted.groups.length > 0 || wanted.uid || Object.keys(wanted.extra).length > 0)
    throw badRequest("requested impersonation without impersonating a user");
  return undefined;
}

/** Repeated headers reach us joined. */
function valuesOf(header: string | undefined): string[] {
  const values = header ? header.split(",").map((value) => value.trim()) : [];
  if (values.length > valuesMax) throw badRequest(`more than ${valuesMax} groups or values to impersonate`);
  return values.filter((value) => value !== "");
}

function extraOf(headers: Headers): Record<string, string[]> {
  const extra: Record<string, string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(extraPrefix)) continue;
    extra[unescaped(name.slice(extraPrefix.length))] = valuesOf(value);
  }
  return extra;
}

function unescaped(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}
