/**
 * Who is asked about the world outside: the machine's own resolvers, or what the ConfigMap `kube-system/kube-dns` says, in
 * the form that kube-dns had (`stubDomains`, `upstreamNameservers`). Pure.
 * https://github.com/kubernetes/dns/blob/master/docs/config.md
 */
import { isIP, isIPv4 } from "node:net";
import { messageOf } from "#base";

export interface ForwardSettings {
  /** Names below a domain are asked of its own resolvers: `ADDRESS` or `ADDRESS#PORT`. */
  readonly stubDomains: ReadonlyMap<string, readonly string[]>;
  /** Absent: the machine's. */
  readonly upstream?: readonly string[];
}

export const noSettings: ForwardSettings = { stubDomains: new Map() };

const resolversMax = 3;
const domainsMax = 1_000;

/** Throws an `Error` that says what is wrong. */
export function parseSettings(data: Readonly<Record<string, string>>): ForwardSettings {
  const stubs = data.stubDomains ? jsonOf(data.stubDomains, "stubDomains") : {};
  if (typeof stubs !== "object" || stubs === null || Array.isArray(stubs))
    throw new Error("stubDomains must be an object");
  const entries = Object.entries(stubs);
  if (entries.length > domainsMax) throw new Error(`stubDomains may have at most ${domainsMax} entries`);
  const stubDomains = new Map(
    entries.map(([domain, servers]) => [nameOf(domain), resolversOf(servers, `stubDomains of ${domain}`)]),
  );
  const text = data.upstreamNameservers;
  if (!text) return { stubDomains };
  return { stubDomains, upstream: resolversOf(jsonOf(text, "upstreamNameservers"), "upstreamNameservers") };
}

function jsonOf(text: string, field: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${field} is not JSON: ${messageOf(error)}`);
  }
}

function nameOf(domain: string): string {
  return domain.toLowerCase().replace(/\.$/, "");
}

function resolversOf(value: unknown, field: string): string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > resolversMax)
    throw new Error(`${field} must be a list of one to ${resolversMax} addresses`);
  return value.map((each) => {
    const [, address = "", port = "53"] = /^(.*?)(?:[:#](\d{1,5}))?$/.exec(String(each)) ?? [];
    if (isIP(String(each))) return String(each);
    if (!isIPv4(address) || Number(port) < 1 || Number(port) > 65_535)
      throw new Error(`${field}: ${JSON.stringify(each)} is no address`);
    return `${address}#${port}`;
  });
}

/** Who is asked about a name: the resolvers of the longest domain that it is in. */
export function resolversFor(
  { stubDomains, upstream }: ForwardSettings,
  name: string,
  machine: readonly string[],
): readonly string[] {
  let rest = nameOf(name);
  for (;;) {
    const own = stubDomains.get(rest);
    if (own) return own;
    const dot = rest.indexOf(".");
    if (dot < 0) return upstream ?? machine;
    rest = rest.slice(dot + 1);
  }
}
