/** Finds out who asks: by client certificate, by static token or by service account token. */
import { createHash, timingSafeEqual } from "node:crypto";
import { unauthorized } from "#api";
import { authenticatedGroup, type User } from "../user.ts";
import type { TokenIssuer } from "./service-account-tokens.ts";

export interface StaticToken {
  token: string;
  username: string;
  groups?: readonly string[];
  uid?: string;
}

/** What the front knows of the connection and the head of the request. */
export interface Credentials {
  authorization: string | undefined;
  /** The subject of a certificate that the client CA signed; or that there is one which is not good. */
  certificate: { commonName: string; organizations: readonly string[] } | "refused" | undefined;
}

const tokenMaxLength = 16 * 1024;

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

export class Authenticator {
  readonly #tokens: readonly { digest: Buffer; user: User }[];
  readonly #serviceAccounts: TokenIssuer;

  constructor(tokens: readonly StaticToken[], serviceAccounts: TokenIssuer) {
    this.#tokens = tokens.map(({ token, username, groups = [], uid }) => ({
      digest: digest(token),
      user: { username, groups: [...groups, authenticatedGroup], ...(uid ? { uid } : {}) },
    }));
    this.#serviceAccounts = serviceAccounts;
  }

  /** Undefined when nothing was shown at all, or nothing that is looked at; what is shown and not good is a 401. */
  async authenticate(credentials: Credentials): Promise<User | undefined> {
    const { certificate, authorization } = credentials;
    if (certificate && certificate !== "refused") {
      return { username: certificate.commonName, groups: [...certificate.organizations, authenticatedGroup] };
    }
    const token = /^Bearer +(\S.*)$/i.exec(authorization ?? "")?.[1];
    const found = token && (await this.review(token.trim(), []));
    if (found) return found.user;
    if (token || certificate) throw unauthorized();
    return undefined;
  }

  /** Whose token it is, and for which of these audiences; without any, for this server itself. */
  async review(
    token: string,
    audiences: readonly string[],
  ): Promise<{ user: User; audiences: string[] } | undefined> {
    if (token.length > tokenMaxLength) return undefined;
    const { issuer } = this.#serviceAccounts;
    const wanted = audiences.length > 0 ? audiences : [issuer];
    const user = this.#byStaticToken(token);
    if (!user) return this.#serviceAccounts.verify(token, wanted);
    return wanted.includes(issuer) ? { user, audiences: [issuer] } : undefined;
  }

  /** Compares with every token, in constant time. */
  #byStaticToken(token: string): User | undefined {
    const wanted = digest(token);
    let found: User | undefined;
    for (const { digest: known, user } of this.#tokens) if (timingSafeEqual(known, wanted)) found = user;
    return found;
  }
}
