/** What `--datastore` says: where etcd is, and how it knows us. */
import { readFileSync } from "node:fs";
import { messageOf, UserError, type World } from "#base";
import type { Store } from "./contract.ts";
import type { EtcdEndpoints } from "./etcd-client.ts";

const mend =
  "say --datastore etcd=https://HOST:PORT[,…][?ca=FILE&cert=FILE&key=FILE], or etcd=http://HOST:PORT[,…]";
const defaultPort = "2379";

/** Throws a `UserError`. */
export function parseDatastore(text: string): EtcdEndpoints {
  const [list = "", query = ""] = text.replace(/^etcd=/, "").split("?", 2);
  if (!text.startsWith("etcd=") || list === "") throw new UserError(`"${text}" is no datastore`, mend);
  const urls = list.split(",").map(urlOf);
  const secure = urls.filter(({ protocol }) => protocol === "https:").length;
  if (secure !== 0 && secure !== urls.length) {
    throw new UserError("some addresses of etcd are https and some are not", mend);
  }
  const addresses = urls.map(({ hostname, port }) => `${hostname}:${port || defaultPort}`);
  const files = new URLSearchParams(query);
  const strange = [...files.keys()].find((name) => !["ca", "cert", "key"].includes(name));
  if (strange !== undefined) throw new UserError(`a datastore has no "${strange}"`, mend);
  if (secure === 0) return { addresses };
  const tls: EtcdEndpoints["tls"] = {};
  for (const name of ["ca", "cert", "key"] as const) {
    const path = files.get(name);
    if (path) tls[name] = contentOf(path);
  }
  if (!tls.cert !== !tls.key) throw new UserError("a certificate for etcd needs its key", mend);
  return { addresses, tls };
}

function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.hostname && url.pathname === "/") return url;
  throw new UserError(`"${text}" is no address of etcd`, mend);
}

function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${messageOf(error)}`, mend, { cause: error });
  }
}

/** Loads what speaks to etcd only where there is one. */
export async function openEtcdStore(options: { world: World; endpoints: EtcdEndpoints }): Promise<Store> {
  const { openEtcd } = await import("./etcd.ts");
  return openEtcd(options);
}
