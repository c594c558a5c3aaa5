/**
 * Names and hashes of basic authentication out of a Secret: an htpasswd file under `auth`, or one key for each name.
 * HAProxy compares them with crypt(3), which does not know Apache's own `$apr1$`.
 * https://github.com/kubernetes/ingress-nginx/blob/main/docs/user-guide/nginx-configuration/annotations.md#authentication
 */
import type { corev1 } from "#api";
import { isPrintable } from "../haproxy/quote.ts";

const known = /^\$(1|2[aby]|5|6|y)\$[\x21-\x7e]+$/;
const usersMax = 10_000;

export interface Users {
  users: [name: string, hash: string][];
  problem?: string;
}

export function readUsers(secret: Readonly<corev1.Secret>, asMap: boolean): Users {
  const text = (value: string) => Buffer.from(value, "base64").toString("utf8");
  const data = secret.data ?? {};
  const lines = asMap
    ? Object.entries(data).map(([name, hash]) => `${name}:${text(hash).trim()}`)
    : text(data.auth ?? "").split("\n");
  const users: Users["users"] = [];
  let refused = 0;
  for (const line of lines.slice(0, usersMax)) {
    const trimmed = line.trim();
    if (!trimmed) continue;
    const colon = trimmed.indexOf(":");
    const [name, hash] = [trimmed.slice(0, colon), trimmed.slice(colon + 1)];
    if (colon > 0 && isPrintable(name) && known.test(hash)) users.push([name, hash]);
    else refused++;
  }
  if (refused === 0 && users.length > 0) return { users };
  const what =
    refused > 0 ? `${refused} of its entries cannot be checked` : "it has no entries under the key auth";
  const where = `Secret ${secret.metadata.namespace}/${secret.metadata.name}`;
  return { users, problem: `${where}: ${what}; hash with htpasswd -B or openssl passwd -6` };
}
