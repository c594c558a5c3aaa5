/**
 * The aggregation layer: an APIService for every group version, and requests for those that live behind a service
 * passed on to it while it is well.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
 */
import type { Duplex } from "node:stream";
import {
  type apiregistrationv1,
  apiServices,
  availableCondition,
  endpointSlices,
  groupPriorityOf,
  isStatus,
  type KubernetesObject,
  type ResourceDefinition,
  StatusError,
  sameJson,
  services,
  versionPriorityOf,
  withApiServiceCondition,
} from "#api";
import type { Timer } from "#base";
import type { CachedObject } from "../cache/cached-object.ts";
import { keyPrefix } from "../cache/keys.ts";
import { customOf } from "../customresources/custom-definition.ts";
import type { ApiRequest, ApiResponse } from "../http/exchange.ts";
import type { Registry, WriteContext } from "../registry/context.ts";
import { create } from "../registry/create.ts";
import { change, statusStrategy } from "../registry/update.ts";
import { authenticatedGroup } from "../user.ts";
import { check, type Verdict } from "./availability.ts";
import { AggregatorProxy, type FrontProxy } from "./proxy.ts";

const kind = apiServices as ResourceDefinition;
const context: WriteContext = {
  user: { username: "system:apiserver", groups: ["system:masters", authenticatedGroup] },
  dryRun: false,
};
/** Says that an APIService is the server's own, and how long it keeps it. */
const managedLabel = "kube-aggregator.kubernetes.io/automanaged";
const checkEveryMs = 10_000;
/** Its resources, its discovery and its OpenAPI document. */
const remotePath = /^(?:\/openapi\/v3)?\/apis\/([^/]+)\/([^/]+)/;

/** A group version that lives elsewhere. */
interface Remote {
  readonly service: Readonly<apiregistrationv1.APIService>;
  readonly group: string;
  readonly version: string;
  readonly isAvailable: boolean;
  /** What its discovery said when it was last well. */
  readonly resources: readonly Record<string, unknown>[];
  /** Where its OpenAPI v3 document is, on it. */
  readonly openapi: string | undefined;
}

export class Aggregator {
  readonly #registry: Registry;
  readonly #proxy: AggregatorProxy;
  readonly #remotes = new Map<string, Remote>();
  /** True: what is being checked has changed meanwhile. */
  readonly #checking = new Map<string, boolean>();
  #changes = 0;
  #timer: Timer | undefined;
  #stopListening: (() => void)[] = [];

  constructor(registry: Registry, frontProxy: FrontProxy | undefined) {
    this.#registry = registry;
    this.#proxy = new AggregatorProxy(registry.storage, frontProxy);
  }

  /** Grows with everything that changes what discovery says. */
  get changes(): number {
    return this.#changes;
  }

  get remotes(): readonly Remote[] {
    return [...this.#remotes.values()];
  }

  async start(): Promise<void> {
    const { storage, world } = this.#registry;
    const cache = storage.cache(kind);
    for (const object of cache.scan(keyPrefix(kind)))
      this.#take(object.parse() as apiregistrationv1.APIService);
    this.#stopListening = [
      cache.listen(({ current, previous }) => {
        if (current) this.#take(current.parse() as apiregistrationv1.APIService);
        else if (previous) this.#forget(previous.parse() as apiregistrationv1.APIService);
      }),
      ...[services, endpointSlices].map((type) =>
        storage.cache(type as ResourceDefinition).listen(({ current, previous }) => {
          if (this.#remotes.size > 0) this.#checkBehind((current ?? previous)!);
        }),
      ),
      storage.resources.listen(() => void this.#keepLocal().catch((error) => this.#complain(error))),
    ];
    await this.#keepLocal();
    this.#timer = world.clock.every(checkEveryMs, () => this.#checkAll());
    this.#checkAll();
  }

  stop(): void {
    for (const end of this.#stopListening) end();
    this.#timer?.cancel();
    this.#proxy.close();
  }

  /** Undefined for what is of this server, or of nobody. */
  pass(request: ApiRequest): Promise<ApiResponse> | undefined {
    const remote = this.#remoteOf(request);
    return remote && this.#forward(remote, request);
  }

  /** True when it took the connection over. */
  async upgrade(request: ApiRequest, client: Duplex, head: Buffer): Promise<boolean> {
    const remote = this.#remoteOf(request);
    if (!remote) return false;
    if (!remote.isAvailable) throw unavailable();
    await this.#proxy.tunnel(remote.service, request, client, head);
    return true;
  }

  #remoteOf({ path }: ApiRequest): Remote | undefined {
    const [, group, version] = remotePath.exec(path) ?? [];
    if (group === undefined || version === undefined || this.#isOwn(group, version)) return undefined;
    return this.#remotes.get(`${group}/${version}`);
  }

  #isOwn(group: string, version: string): boolean {
    return this.#registry.storage.resources.definitions.some(
      (each) => each.group === group && each.version === version,
    );
  }

  async #forward(remote: Remote, request: ApiRequest): Promise<ApiResponse> {
    if (!remote.isAvailable) throw unavailable();
    return this.#proxy.forward(remote.service, request);
  }

  #take(service: apiregistrationv1.APIService): void {
    const { group = "", version = "", service: target } = service.spec ?? {};
    const id = `${group}/${version}`;
    if (!target) {
      this.#forget(service);
      return;
    }
    const known = this.#remotes.get(id);
    const isAvailable = availableCondition(service)?.status === "True";
    const { resources = [], openapi } = known ?? {};
    this.#remotes.set(id, { service, group, version, isAvailable, resources, openapi });
    this.#changes++;
    if (!known || !sameJson(known.service.spec, service.spec)) this.#check(id);
  }

  #forget({ spec }: Readonly<apiregistrationv1.APIService>): void {
    if (this.#remotes.delete(`${spec?.group ?? ""}/${spec?.version ?? ""}`)) this.#changes++;
  }

  /** Something of this name changed: whoever is reached through it may be back, or gone. */
  #checkBehind(object: CachedObject): void {
    const { namespace } = object;
    const name = object.facts.labels?.["kubernetes.io/service-name"] ?? object.name;
    for (const [id, { service }] of this.#remotes) {
      const target = service.spec.service;
      if (target?.name === name && target.namespace === namespace) this.#check(id);
    }
  }

  #checkAll(): void {
    for (const id of this.#remotes.keys()) this.#check(id);
  }

  /** One check at a time for each. */
  #check(id: string): void {
    const remote = this.#remotes.get(id);
    if (!remote || this.#checking.has(id)) {
      if (remote) this.#checking.set(id, true);
      return;
    }
    this.#checking.set(id, false);
    check(this.#registry.storage, this.#proxy, remote.service)
      .then((verdict) => this.#note(id, remote.service, verdict))
      .catch((error) => this.#complain(error))
      .finally(() => {
        const again = this.#checking.get(id);
        this.#checking.delete(id);
        if (again) this.#check(id);
      });
  }

  async #note(id: string, service: Readonly<apiregistrationv1.APIService>, verdict: Verdict): Promise<void> {
    const now = this.#remotes.get(id);
    if (!now || now.service.metadata.uid !== service.metadata.uid) return;
    if (verdict.resources && !sameJson([verdict.resources, verdict.openapi], [now.resources, now.openapi])) {
      this.#remotes.set(id, { ...now, resources: verdict.resources, openapi: verdict.openapi });
      this.#changes++;
    }
    const said = availableCondition(now.service);
    const { condition } = verdict;
    if (
      said?.status === condition.status &&
      said.reason === condition.reason &&
      said.message === condition.message
    )
      return;
    await this.#writeStatus(service.metadata.name, condition);
  }

  async #writeStatus(name: string, condition: apiregistrationv1.APIServiceCondition): Promise<void> {
    const target = { definition: kind, namespace: undefined, name };
    const nowMs = this.#registry.world.clock.now();
    await change(this.#registry, target, context, statusStrategy(kind), (read) => {
      const service = read() as apiregistrationv1.APIService;
      service.status = { conditions: withApiServiceCondition(service.status?.conditions, condition, nowMs) };
      return service;
    });
  }

  /** One APIService for each group version of this server; those of custom resources go with them. */
  async #keepLocal(): Promise<void> {
    const { storage } = this.#registry;
    const wanted = new Map<string, ReturnType<typeof localService>>();
    for (const definition of storage.resources.definitions) {
      const service = localService(definition);
      wanted.set(service.metadata.name, service);
    }
    const creations = [...wanted.values()].map(async (service) => {
      if (storage.find(kind, undefined, service.metadata.name)) return;
      const target = { definition: kind, namespace: undefined, name: "" };
      const object = structuredClone(service) as unknown as KubernetesObject;
      await create(this.#registry, target, context, object).catch(ignoring("AlreadyExists"));
    });
    await Promise.all(creations);
    for (const object of [...storage.cache(kind).scan(keyPrefix(kind))]) {
      const isOwn = object.facts.labels?.[managedLabel] !== undefined;
      if (isOwn && !wanted.has(object.name)) await storage.remove(kind, object);
    }
  }

  #complain(error: unknown): void {
    if (isStatus(error, "NotFound") || isStatus(error, "Conflict")) return;
    this.#registry.world.log.warn({ err: error }, "an APIService could not be kept; it is tried again");
  }
}

function unavailable(): StatusError {
  return StatusError.of(503, "ServiceUnavailable", "service unavailable", { retryAfterSeconds: 1 });
}

function ignoring(reason: "AlreadyExists"): (error: unknown) => void {
  return (error) => {
    if (!isStatus(error, reason)) throw error;
  };
}

function localService(definition: ResourceDefinition) {
  const { group, version } = definition;
  return {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: {
      name: `${version}.${group}`,
      labels: { [managedLabel]: customOf(definition) ? "true" : "onstart" },
    },
    spec: {
      ...(group ? { group } : {}),
      version,
      groupPriorityMinimum: groupPriorityOf(group),
      versionPriority: versionPriorityOf(group, version),
    },
  };
}
