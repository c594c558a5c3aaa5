/** Discovery and OpenAPI documents: built when first asked for, then kept. */
import { loadDescriptions, resourceDefinitions } from "#api";
import {
  aggregatedDiscovery,
  aggregatedDiscoveryType,
  coreVersions,
  groupDocument,
  groupList,
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
import { type ApiResponse, bytesResponse } from "./exchange.ts";
import { mediaTypes, parseAccept } from "./negotiation.ts";

const versionInfo = {
  major: "1",
  minor: "36",
  gitVersion: "v1.36.0+knarr",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2026-04-22T00:00:00Z",
  goVersion: "go1.26",
  compiler: "gc",
  platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
} as const;

type Build = () => unknown;

export class Documents {
  readonly #serverAddress: string;
  readonly #kept = new Map<string, Buffer>();

  constructor(serverAddress: string) {
    this.#serverAddress = serverAddress;
  }

  /** Undefined for paths that are no such document. */
  async serve(path: string, accept: string | undefined): Promise<ApiResponse | undefined> {
    if (path.startsWith("/openapi/")) return this.#openapi(path, accept);
    const parts = path.split("/").filter(Boolean);
    if (path === "/version") return this.#json("version", () => versionInfo);
    if (parts.length === 1 && parts[0] === "api")
      return this.#discovery("core", accept, () => coreVersions(this.#serverAddress));
    if (parts[0] === "api" && parts.length === 2)
      return this.#json(path, () => resourceList(resourceDefinitions, "", parts[1]!));
    if (parts[0] !== "apis") return undefined;
    if (parts.length === 1) return this.#discovery("named", accept, () => groupList(resourceDefinitions));
    if (parts.length === 2) return this.#json(path, () => groupDocument(resourceDefinitions, parts[1]!));
    if (parts.length === 3)
      return this.#json(path, () => resourceList(resourceDefinitions, parts[1]!, parts[2]!));
    return undefined;
  }

  #discovery(which: "core" | "named", accept: string | undefined, plain: Build): ApiResponse | undefined {
    for (const { type, parameters } of parseAccept(accept)) {
      const { g, v, as } = parameters;
      if (type !== mediaTypes.json && type !== "*/*") continue;
      if (g !== "apidiscovery.k8s.io" || as !== "APIGroupDiscoveryList") {
        if (!as) return this.#json(`plain ${which}`, plain);
        continue;
      }
      if (v !== "v2" && v !== "v2beta1") continue;
      const build = () => aggregatedDiscovery(resourceDefinitions, which, v);
      return this.#json(`${v} ${which}`, build, aggregatedDiscoveryType(v));
    }
    return this.#json(`plain ${which}`, plain);
  }

  #json(key: string, build: Build, contentType: string = mediaTypes.json): ApiResponse | undefined {
    let bytes = this.#kept.get(key);
    if (!bytes) {
      const value = build();
      if (value === undefined) return undefined;
      bytes = Buffer.from(`${JSON.stringify(value)}\n`);
      this.#kept.set(key, bytes);
    }
    return bytesResponse(200, contentType, bytes);
  }

  async #openapi(path: string, accept: string | undefined): Promise<ApiResponse | undefined> {
    const options = { version: "v1.36.0", descriptions: await loadDescriptions() };
    const v2 = () => openapiV2(resourceDefinitions, options);
    if (path === "/openapi/v2") {
      const wantsProtobuf = parseAccept(accept)[0]?.type === openapiV2ProtobufAccept;
      if (!wantsProtobuf) return this.#json(path, v2);
      const kept = this.#kept.get("protobuf") ?? openapiV2Proto(v2());
      this.#kept.set("protobuf", kept);
      return bytesResponse(200, openapiV2ProtobufType, kept);
    }
    if (path === "/openapi/v3") return this.#json(path, () => openapiV3Root(resourceDefinitions, options));
    const match = /^\/openapi\/v3\/(?:api|apis\/([^/]+))\/([^/]+)$/.exec(path);
    if (!match) return undefined;
    return this.#json(path, () => openapiV3(resourceDefinitions, match[1] ?? "", match[2]!, options));
  }
}
