/** Discovery and OpenAPI documents: built when first asked for, then kept. */
import { createHash } from "node:crypto";
import { loadDescriptions } from "#api";
import type { Aggregator } from "../aggregator/aggregator.ts";
import {
  aggregatedDiscovery,
  aggregatedDiscoveryType,
  coreVersions,
  groupDocument,
  groupList,
  groupVersionText,
  resourceList,
} from "../discovery/index.ts";
import {
  openapiV2,
  openapiV2Proto,
  openapiV2ProtobufAccept,
  openapiV2ProtobufType,
  openapiV3,
  openapiV3Root,
} from "../openapi/index.ts";
import type { Resources } from "../registry/resources.ts";
import { type ApiRequest, type ApiResponse, bytesResponse } from "./exchange.ts";
import { mediaTypes, parseAccept } from "./negotiation.ts";

const versionInfo = {
  major: "1",
  minor: "36",
  gitVersion: "v1.36.0+knarr",
  gitCommit: "unknown",
  gitTreeState: "clean",
  buildDate: "2026-04-22T00:00:00Z",
  goVersion: "go1.26",
  compiler: "gc",
  platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
} as const;

type Build = () => unknown;
type Headers = ApiRequest["headers"];

interface Kept {
  bytes: Buffer;
  etag: string;
}

export class Documents {
  readonly #serverAddress: string;
  readonly #resources: Resources;
  readonly #aggregator: Pick<Aggregator, "changes" | "remotes">;
  /** What of it was made is good until something is served that was not, or no longer. */
  readonly #kept = new Map<string, Kept>();
  #changes = -1;

  constructor(
    serverAddress: string,
    resources: Resources,
    aggregator: Pick<Aggregator, "changes" | "remotes">,
  ) {
    this.#serverAddress = serverAddress;
    this.#resources = resources;
    this.#aggregator = aggregator;
  }

  /** Undefined for paths that are no such document. */
  async serve(path: string, headers: Headers): Promise<ApiResponse | undefined> {
    this.#forgetOld();
    if (path.startsWith("/openapi/")) return this.#openapi(path, headers);
    const parts = path.split("/").filter(Boolean);
    const { definitions } = this.#resources;
    if (path === "/version") return this.#json(headers, "version", () => versionInfo);
    if (parts.length === 1 && parts[0] === "api")
      return this.#discovery("core", headers, () => coreVersions(this.#serverAddress));
    if (parts[0] === "api" && parts.length === 2)
      return this.#json(headers, path, () => resourceList(definitions, "", parts[1]!));
    if (parts[0] !== "apis") return undefined;
    if (parts.length === 1)
      return this.#discovery("named", headers, () => groupList(definitions, this.#aggregator.remotes));
    if (parts.length === 2)
      return this.#json(headers, path, () => groupDocument(definitions, parts[1]!, this.#aggregator.remotes));
    if (parts.length === 3)
      return this.#json(headers, path, () => resourceList(definitions, parts[1]!, parts[2]!));
    return undefined;
  }

  #forgetOld(): void {
    const changes = this.#resources.changes + this.#aggregator.changes;
    if (changes === this.#changes) return;
    this.#changes = changes;
    this.#kept.clear();
  }

  #discovery(which: "core" | "named", headers: Headers, plain: Build): ApiResponse | undefined {
    for (const { type, parameters } of parseAccept(headers.accept)) {
      const { g, v, as } = parameters;
      if (type !== mediaTypes.json && type !== "*/*") continue;
      if (g !== "apidiscovery.k8s.io" || as !== "APIGroupDiscoveryList") {
        if (!as) return this.#json(headers, `plain ${which}`, plain);
        continue;
      }
      if (v !== "v2" && v !== "v2beta1") continue;
      const build = () =>
        aggregatedDiscovery(this.#resources.definitions, which, v, this.#aggregator.remotes);
      return this.#json(headers, `${v} ${which}`, build, aggregatedDiscoveryType(v));
    }
    return this.#json(headers, `plain ${which}`, plain);
  }

  /** Kept as bytes, with their hash: whoever has these very bytes already gets them not again. */
  #json(
    headers: Headers,
    key: string,
    build: Build,
    contentType: string = mediaTypes.json,
  ): ApiResponse | undefined {
    const kept = this.#keep(key, () => {
      const value = build();
      return value === undefined ? undefined : Buffer.from(`${JSON.stringify(value)}\n`);
    });
    return kept && answer(kept, headers, contentType);
  }

  #keep(key: string, build: () => Buffer | undefined): Kept | undefined {
    const known = this.#kept.get(key);
    if (known) return known;
    const bytes = build();
    if (!bytes) return undefined;
    const kept = { bytes, etag: createHash("sha512").update(bytes).digest("hex").toUpperCase() };
    this.#kept.set(key, kept);
    return kept;
  }

  async #openapi(path: string, headers: Headers): Promise<ApiResponse | undefined> {
    const options = { version: "v1.36.0", descriptions: await loadDescriptions() };
    const { definitions } = this.#resources;
    const v2 = () => openapiV2(definitions, options);
    if (path === "/openapi/v2") {
      const wantsProtobuf = parseAccept(headers.accept)[0]?.type === openapiV2ProtobufAccept;
      if (!wantsProtobuf) return this.#json(headers, path, v2);
      const kept = this.#keep("protobuf", () => openapiV2Proto(v2()));
      return kept && answer(kept, headers, openapiV2ProtobufType);
    }
    const document = (group: string, version: string) =>
      this.#keep(`/openapi/v3/${groupVersionText(group, version)}`, () => {
        const made = openapiV3(definitions, group, version, options);
        return made && Buffer.from(`${JSON.stringify(made)}\n`);
      });
    if (path === "/openapi/v3")
      return this.#json(headers, path, () =>
        openapiV3Root(
          definitions,
          (group, version) => document(group, version)?.etag ?? "",
          this.#aggregator.remotes,
        ),
      );
    const match = /^\/openapi\/v3\/(?:api|apis\/([^/]+))\/([^/]+)$/.exec(path);
    const kept = match && document(match[1] ?? "", match[2]!);
    return kept ? answer(kept, headers, mediaTypes.json) : undefined;
  }
}

function answer({ bytes, etag }: Kept, headers: Headers, contentType: string): ApiResponse {
  const tags = { etag: `"${etag}"`, vary: "Accept" };
  const known = headers["if-none-match"]?.split(",").some((tag) => tag.trim() === tags.etag);
  if (known) return { status: 304, headers: tags, body: Buffer.alloc(0) };
  return bytesResponse(200, contentType, bytes, tags);
}
