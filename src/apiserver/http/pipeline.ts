/**
 * What happens to every request, wherever it came from: admission to the house, route, answer. Every failure becomes a
 * Status; a client's fault is never a 500.
 */
import {
  conflict,
  internalError,
  methodNotAllowed,
  methodNotServed,
  notServed,
  type ResourceDefinition,
  StatusError,
  serviceUnavailable,
} from "#api";
import { type Counter, type Gauge, type Histogram, messageOf, Turns } from "#base";
import type { Aggregator } from "../aggregator/aggregator.ts";
import type { Authenticator, Credentials } from "../authentication/authenticator.ts";
import type { TokenIssuer } from "../authentication/service-account-tokens.ts";
import { attributesOf, forbiddenTo } from "../authorization/attributes.ts";
import type { Authorizer } from "../authorization/authorizer.ts";
import { impersonated } from "../authorization/impersonation.ts";
import { answerComponents } from "../component-statuses.ts";
import { customOf } from "../customresources/custom-definition.ts";
import type { Flow, FlowControl } from "../flow-control/flow-control.ts";
import type { Registry } from "../registry/context.ts";
import { modified, StaleError } from "../registry/storage.ts";
import { answerReview } from "../reviews.ts";
import { anonymous, type User } from "../user.ts";
import { admitConnect } from "../webhooks/connect.ts";
import { customCall } from "./custom-call.ts";
import { timeoutOf, withDeadline } from "./deadline.ts";
import type { Documents } from "./documents.ts";
import { type ApiRequest, type ApiResponse, bytesResponse, jsonResponse } from "./exchange.ts";
import { callExtension, type Extension } from "./extensions.ts";
import { compressed, prettified } from "./finish.ts";
import { Gate } from "./gate.ts";
import { answerHealth } from "./health.ts";
import { type ResourceInfo, resourceInfoOf } from "./request-info.ts";
import { statusResponse } from "./respond.ts";
import { answerBinding, subresourceCall } from "./subresource-calls.ts";
import {
  type Call,
  createOne,
  deleteMany,
  deleteOne,
  getOne,
  list,
  patchOne,
  updateOne,
  withWarnings,
} from "./verbs.ts";
import { isWatch, type OpenWatches, watch } from "./watch.ts";

export interface PipelineParts {
  registry: Registry;
  authenticator: Authenticator;
  authorizer: Authorizer;
  tokens: TokenIssuer;
  documents: Documents;
  extensions: readonly Extension[];
  flowControl: FlowControl;
  aggregator: Pick<Aggregator, "pass">;
  /** What others answer: logs of a node, whatever is proxied. Undefined for anything else. */
  passThrough(call: Call): Promise<ApiResponse> | undefined;
}

/** Of components of this process. */
const localLimits = { seatsMax: 600, waitingMax: 20_000, waitingMaxBytes: 256 * 1024 * 1024 };

export class Pipeline {
  readonly #parts: PipelineParts;
  readonly watches: OpenWatches = new Set();
  readonly #turns: Turns;
  readonly #localGate = new Gate(localLimits);
  #closed = false;
  readonly #requests: Counter<"verb" | "resource" | "code">;
  readonly #latency: Histogram<"verb" | "resource">;
  readonly #inFlightGauge: Gauge<string>;
  readonly #watchGauge: Gauge<string>;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#turns = new Turns(parts.registry.world.clock);
    const { metrics } = parts.registry.world;
    this.#requests = metrics.counter(
      "apiserver_request_total",
      "Requests by verb, resource and status code",
      ["verb", "resource", "code"],
    );
    this.#latency = metrics.latency(
      "apiserver_request_duration_seconds",
      "Time from request to the head of its answer",
      ["verb", "resource"],
    );
    this.#inFlightGauge = metrics.gauge(
      "apiserver_current_inflight_requests",
      "Requests at work, watches aside",
    );
    this.#watchGauge = metrics.gauge("apiserver_longrunning_requests", "Open watches");
  }

  /**
   * Who asks, or whom they ask to be taken for; whoever shows nothing is `system:anonymous`, whose bodies are not even
   * read where they may not ask. Throws 401 for bad credentials, and 403 for a part that may not be played.
   */
  async authenticate(credentials: Credentials, request: Omit<ApiRequest, "user">): Promise<User> {
    const { authenticator, authorizer } = this.#parts;
    const user = await authenticator.authenticate(credentials);
    const asked = { ...request, user: user ?? anonymous };
    const info = resourceInfoOf(request.path);
    if (!user) this.authorize(asked, info);
    return impersonated(authorizer, () => attributesOf(asked, info), asked.user, request.headers);
  }

  /** Throws 403 for what the user may not do. */
  authorize(request: ApiRequest, info = resourceInfoOf(request.path)): void {
    // These know their own guests.
    if (this.#extensionOf(request)) return;
    const attributes = attributesOf(request, info);
    const { allowed, reason } = this.#parts.authorizer.authorize(attributes);
    if (!allowed) throw forbiddenTo(attributes, reason);
  }

  /** Asks webhooks about a connection that is about to leave HTTP. Throws their refusal. */
  async admitConnect(request: ApiRequest): Promise<void> {
    const info = resourceInfoOf(request.path);
    const definition = info && this.#find(info);
    if (definition) await admitConnect(this.#parts.registry.admission, request, info, definition);
  }

  /** Never rejects. */
  async handle(request: ApiRequest): Promise<ApiResponse> {
    const { clock } = this.#parts.registry.world;
    const startMs = clock.monotonic();
    let verb = request.method;
    let resource = "";
    let flow: Flow | undefined;
    let response: ApiResponse;
    try {
      const info = resourceInfoOf(request.path);
      verb = verbOf(request, info);
      const served = info && this.#find(info);
      resource = served?.resource ?? "";
      this.authorize(request, info);
      // Watches and streams need no seat.
      if (!request.isLocal && !isLongRunning(verb))
        flow = this.#parts.flowControl.flowOf(attributesOf(request, info));
      response = await this.#bounded(verb, flow, request, () => this.#route(request, info, served));
      if (!isLongRunning(verb)) response = await compressed(request, prettified(request, response));
    } catch (error) {
      response = prettified(request, statusResponse(this.statusOf(error), request.headers.accept));
    }
    if (flow) response = { ...response, headers: { ...response.headers, ...flow.schema.headers } };
    this.#requests.inc({ verb, resource, code: String(response.status) });
    if (verb !== "WATCH") this.#latency.observe({ verb, resource }, (clock.monotonic() - startMs) / 1000);
    return response;
  }

  close(): void {
    this.#closed = true;
    this.#parts.flowControl.stop();
    for (const stream of [...this.watches]) stream.close();
  }

  statusOf(error: unknown): StatusError {
    if (error instanceof StatusError) return error;
    if (error instanceof StaleError) return conflict({ group: "", resource: "objects" }, "", modified);
    this.logFailure(error);
    return internalError(messageOf(error));
  }

  logFailure(error: unknown): void {
    this.#parts.registry.world.log.error({ err: error }, "a request failed");
  }

  #extensionOf(request: ApiRequest): Extension | undefined {
    return this.#parts.extensions.find((each) => each.path === request.path);
  }

  async #bounded(
    verb: string,
    flow: Flow | undefined,
    request: ApiRequest,
    work: () => Promise<ApiResponse>,
  ): Promise<ApiResponse> {
    if (this.#closed) throw serviceUnavailable("the server is shutting down");
    if (isLongRunning(verb)) return work();
    const timeoutMs = timeoutOf(request.query);
    // Components of this process ask again as soon as they are answered.
    const inTurn = () => this.#turns.run(work);
    const answer = flow
      ? this.#parts.flowControl.run(flow, request, inTurn)
      : this.#localGate.run(sizeOf(request), inTurn);
    return withDeadline(this.#parts.registry.world.clock, timeoutMs, answer);
  }

  #find({ group, version, resource }: ResourceInfo): ResourceDefinition | undefined {
    return this.#parts.registry.storage.resources.find(group, version, resource);
  }

  async #route(
    request: ApiRequest,
    info: ResourceInfo | undefined,
    definition: ResourceDefinition | undefined,
  ): Promise<ApiResponse> {
    if (!info) {
      const remote = this.#parts.aggregator.pass(request);
      if (remote) return remote;
      const extension = this.#extensionOf(request);
      return extension ? callExtension(extension, request) : this.#plain(request);
    }
    if (!definition) return this.#parts.aggregator.pass(request) ?? Promise.reject(notServed());
    const authorizeCreate = () => this.authorize({ ...request, method: "POST" }, info);
    return this.#call({ registry: this.#parts.registry, request, info, definition, authorizeCreate });
  }

  async #call(call: Call): Promise<ApiResponse> {
    if (customOf(call.definition)) return customCall(call, () => this.#resource(call));
    const { deprecation } = call.definition;
    const response = await this.#resource(call);
    return deprecation === undefined ? response : withWarnings(response, [deprecation]);
  }

  async #resource(call: Call): Promise<ApiResponse> {
    const { info } = call;
    if (info.subresource) {
      const asked = admitConnect(this.#parts.registry.admission, call.request, info, call.definition);
      if (asked) await asked;
      return this.#parts.passThrough(call) ?? subresourceCall(call, this.#parts.tokens);
    }
    return answerComponents(call) ?? (info.name ? this.#one(call) : this.#many(call));
  }

  #one(call: Call): Promise<ApiResponse> {
    switch (call.request.method) {
      case "GET":
        return isWatch(call.request.query) ? this.#watch(call) : getOne(call);
      case "PUT":
        return updateOne(call);
      case "PATCH":
        return patchOne(call);
      case "DELETE":
        return deleteOne(call);
      default:
        throw methodNotAllowed(call.definition, call.request.method.toLowerCase());
    }
  }

  #many(call: Call): Promise<ApiResponse> {
    switch (call.request.method) {
      case "GET":
        return isWatch(call.request.query) ? this.#watch(call) : list(call);
      case "POST":
        return answerReview(call, this.#parts) ?? answerBinding(call) ?? createOne(call);
      case "DELETE":
        return deleteMany(call);
      default:
        throw methodNotAllowed(call.definition, call.request.method.toLowerCase());
    }
  }

  async #watch(call: Call): Promise<ApiResponse> {
    return watch(call, this.watches);
  }

  async #plain(request: ApiRequest): Promise<ApiResponse> {
    const { path, method } = request;
    if (method !== "GET" && method !== "HEAD") throw methodNotServed();
    const storeFailure = this.#parts.registry.storage.store.failure;
    const health = answerHealth(request, { isStopping: this.#closed, storeFailure });
    if (health) return health;
    if (path === "/metrics") {
      const { metrics } = this.#parts.registry.world;
      this.#parts.flowControl.measure();
      this.#inFlightGauge.set(this.#parts.flowControl.inFlight + this.#localGate.inFlight);
      this.#watchGauge.set(this.watches.size);
      return bytesResponse(200, metrics.contentType, Buffer.from(await metrics.text()));
    }
    if (path === "/openid/v1/jwks") return jsonResponse(200, await this.#parts.tokens.keySet());
    if (path === "/.well-known/openid-configuration")
      return jsonResponse(200, this.#parts.tokens.discovery());
    const document = await this.#parts.documents.serve(path.replace(/(.)\/$/, "$1"), request.headers);
    if (!document) throw notServed();
    return document;
  }
}

/** Of what waits with the request beside what its sender holds anyway. */
function sizeOf(request: ApiRequest): number {
  return request.value === undefined ? request.body.length : 0;
}

/** These are bounded by what they stream, and wait for nobody. */
function isLongRunning(verb: string): boolean {
  return verb === "WATCH" || verb === "CONNECT";
}

/** As upstream's metrics name it. */
function verbOf(request: ApiRequest, info: ResourceInfo | undefined): string {
  if (info?.subresource === "proxy") return "CONNECT";
  if (request.method !== "GET")
    return request.method === "DELETE" && info && !info.name ? "DELETECOLLECTION" : request.method;
  if (!info) return "GET";
  if (info.subresource === "log") return "CONNECT";
  if (isWatch(request.query)) return "WATCH";
  return info.name ? "GET" : "LIST";
}
