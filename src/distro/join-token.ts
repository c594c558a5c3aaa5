/**
 * The token another machine joins with: it carries a secret, and a fingerprint of the cluster's authority, so that the
 * machine knows the server before it says a word to it.
 */
import { createHash, timingSafeEqual, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, type Random, UserError, type World } from "#base";
import type { ClusterPaths } from "./config.ts";

export interface JoinToken {
  /** SHA-256 of the authority's certificate, in hexadecimal. */
  fingerprint: string;
  secret: string;
}

const version = "K1";
const secretBytes = 24;

export function fingerprintOf(certificate: string | Buffer): string {
  return createHash("sha256").update(new X509Certificate(certificate).raw).digest("hex");
}

function formatToken(token: JoinToken): string {
  return [version, token.fingerprint, token.secret].join(".");
}

/** Throws a `UserError` for what is no token. */
export function parseToken(text: string): JoinToken {
  const match = /^K1\.([0-9a-f]{64})\.([0-9a-f]{48})$/.exec(text.trim());
  if (match) return { fingerprint: match[1]!, secret: match[2]! };
  throw new UserError("that is not a join token", "print one on the server: knarr token create");
}

/** The cluster's secret, made once and kept beside its keys. */
export async function loadJoinSecret(random: Random, dir: string): Promise<string> {
  const file = join(dir, "join-secret");
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  const secret = random.bytes(secretBytes).toString("hex");
  await writeFile(file, `${secret}\n`, { mode: 0o600, flag: "wx" });
  return secret;
}

/** The token that joins machines to the cluster in `paths`. */
export async function joinTokenOf(world: World, paths: ClusterPaths): Promise<string> {
  const ca = await readFile(join(paths.tls, "ca.crt"), "utf8");
  return formatToken({
    fingerprint: fingerprintOf(ca),
    secret: await loadJoinSecret(world.random, paths.tls),
  });
}

/** In constant time. */
export function sameFingerprint(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
