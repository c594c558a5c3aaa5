/**
 * The kubeconfig of a cluster, and how it joins the one the user has.
 * https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
 */
import { chown, mkdir, readFile, realpath, rename, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type Document, parseDocument, stringify } from "yaml";
import { codeOf, UserError } from "#base";
import type { KeyPair } from "./certificates.ts";

export interface KubeconfigOptions {
  name: string;
  url: string;
  caCert: string;
  client: KeyPair;
}

export function contextName(clusterName: string): string {
  return `knarr-${clusterName}`;
}

interface Entry {
  name: string;
  [key: string]: unknown;
}

const lists = ["clusters", "users", "contexts"] as const;

const base64 = (text: string) => Buffer.from(text).toString("base64");

/** A kubeconfig with this cluster alone. */
export function kubeconfigOf(options: KubeconfigOptions): string {
  const name = contextName(options.name);
  const { client } = options;
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name, cluster: { server: options.url, "certificate-authority-data": base64(options.caCert) } },
    ],
    users: [
      {
        name,
        user: { "client-certificate-data": base64(client.cert), "client-key-data": base64(client.key) },
      },
    ],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  });
}

/** The user's file with a cluster's own kubeconfig put in and made current; comments and everything else stay. */
export function mergeKubeconfig(existing: string, own: string): string {
  const document = parse(existing);
  const added = parse(own);
  for (const list of lists) {
    const fresh = listOf(added, list);
    const names = new Set(fresh.map((entry) => entry.name));
    const kept = listOf(document, list).filter((entry) => !names.has(entry.name));
    document.set(list, document.createNode([...kept, ...fresh]));
  }
  for (const key of ["apiVersion", "kind", "current-context"]) document.set(key, added.get(key));
  return document.toString();
}

/** The user's file without this cluster; undefined when it was not in there. */
export function unmergeKubeconfig(existing: string, clusterName: string): string | undefined {
  const document = parse(existing);
  const name = contextName(clusterName);
  let found = false;
  for (const list of lists) {
    const all = listOf(document, list);
    const kept = all.filter((e) => e.name !== name);
    if (kept.length === all.length) continue;
    found = true;
    document.set(list, document.createNode(kept));
  }
  if (document.get("current-context") === name) document.set("current-context", "");
  return found ? document.toString() : undefined;
}

function parse(text: string): Document {
  const document = parseDocument(text.trim() === "" ? "{}" : text);
  if (document.errors.length > 0) throw new Error(document.errors[0]!.message);
  return document;
}

function listOf(document: Document, name: string): Entry[] {
  const value = (document.toJS() as Record<string, unknown>)[name];
  return Array.isArray(value) ? (value as Entry[]) : [];
}

export interface Owner {
  uid: number;
  gid: number;
}

/** Writes through a temporary file, readable by its owner alone; `owner` is who called sudo. */
export async function editKubeconfig(
  file: string,
  edit: (existing: string) => string | undefined,
  owner?: Owner,
): Promise<void> {
  // Some keep it elsewhere and link to it: the link stays.
  const path = await realpath(file).catch(() => file);
  const existing = await readFile(path, "utf8").catch((error) => {
    if (codeOf(error) === "ENOENT") return "";
    throw error;
  });
  let text: string | undefined;
  try {
    text = edit(existing);
  } catch (error) {
    throw new UserError(
      `${path} cannot be changed: ${(error as Error).message}`,
      "mend the file, or set KUBECONFIG to another one",
    );
  }
  if (text === undefined) return;
  const dir = dirname(path);
  if (await mkdir(dir, { recursive: true, mode: 0o755 })) {
    if (owner) await chown(dir, owner.uid, owner.gid);
  }
  const former = await stat(path).catch(() => undefined);
  await writeFile(`${path}.knarr`, text, { mode: 0o600 });
  const keep = owner ?? former;
  if (keep) await chown(`${path}.knarr`, keep.uid, keep.gid);
  await rename(`${path}.knarr`, path);
}
