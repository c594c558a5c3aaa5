/** URLs. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-url-library */
import type { Environment } from "@marcbachmann/cel-js";
import { CelError } from "../engine-error.ts";

/** Either a whole URL or a path from the root. */
class CelUrl {
  readonly url: URL;
  readonly isAbsolute: boolean;

  constructor(text: string) {
    this.isAbsolute = !text.startsWith("/");
    this.url = new URL(text, this.isAbsolute ? undefined : "http://unused.invalid");
  }

  equals(other: unknown): boolean {
    return other instanceof CelUrl && other.url.href === this.url.href;
  }
}

export function registerUrls(environment: Environment): void {
  environment
    .registerType("kubernetes.URL", CelUrl)
    .registerFunction("url(string): kubernetes.URL", parse)
    .registerFunction("isURL(string): bool", (text: string) => {
      try {
        return Boolean(parse(text));
      } catch {
        return false;
      }
    })
    .registerFunction("kubernetes.URL.getScheme(): string", ({ url, isAbsolute }: CelUrl) =>
      isAbsolute ? url.protocol.slice(0, -1) : "",
    )
    .registerFunction("kubernetes.URL.getHost(): string", ({ url, isAbsolute }: CelUrl) =>
      isAbsolute ? url.host : "",
    )
    .registerFunction("kubernetes.URL.getHostname(): string", ({ url, isAbsolute }: CelUrl) =>
      isAbsolute ? url.hostname.replace(/^\[|\]$/g, "") : "",
    )
    .registerFunction("kubernetes.URL.getPort(): string", ({ url }: CelUrl) => url.port)
    .registerFunction("kubernetes.URL.getEscapedPath(): string", ({ url }: CelUrl) => url.pathname)
    .registerFunction("kubernetes.URL.getQuery(): map<string, list<string>>", ({ url }: CelUrl) => {
      const query = new Map<string, string[]>();
      for (const [name, value] of url.searchParams) query.set(name, [...(query.get(name) ?? []), value]);
      return query;
    });
}

function parse(text: string): CelUrl {
  try {
    return new CelUrl(text);
  } catch {
    throw new CelError(
      `URL parse error during conversion from string: parse ${JSON.stringify(text.slice(0, 200))}: invalid URI for request`,
    );
  }
}
