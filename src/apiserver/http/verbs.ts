/** The verbs on resources: each reads the request, calls the registry and answers in the representation asked for. */
import {
  badRequest,
  DecodeError,
  decode,
  forbiddenField,
  invalidObject,
  isObject,
  type KubernetesObject,
  type metav1,
  methodNotAllowed,
  methodNotServed,
  notServed,
  type ResourceDefinition,
  storedOf,
  type Verb,
} from "#api";
import { type ListQuery, listPage, parseRevision, requireReached } from "../cache/list.ts";
import { selectionOf } from "../cache/selection.ts";
import { customOf } from "../customresources/custom-definition.ts";
import { apply } from "../registry/apply.ts";
import type { Outcome, Registry, Target, WriteContext } from "../registry/context.ts";
import { create } from "../registry/create.ts";
import { remove, removeCollection } from "../registry/delete.ts";
import { managedKindOf } from "../registry/managed-fields.ts";
import { change, type Make, mainStrategy, type UpdateStrategy } from "../registry/update.ts";
import { applyMake, configurationOf } from "./apply-patch.ts";
import {
  bodyParser,
  decodeObject,
  type ExpectedKind,
  expectedKindOf,
  fieldValidationOf,
  parseBody,
} from "./body.ts";
import type { ApiRequest, ApiResponse } from "./exchange.ts";
import { isPretty } from "./finish.ts";
import { negotiate, negotiatePlain } from "./negotiation.ts";
import { patchOf } from "./patch.ts";
import type { ResourceInfo } from "./request-info.ts";
import {
  includeObjectOf,
  listResponse,
  objectResponse,
  outcomeResponse,
  readerOf,
  type View,
} from "./respond.ts";
import { warningHeader } from "./warnings.ts";
import { isApply, writeOptionsOf } from "./write-options.ts";

/** One request on a resource that is served. */
export interface Call {
  registry: Registry;
  request: ApiRequest;
  info: ResourceInfo;
  definition: ResourceDefinition;
  /** Throws 403 if the user may not create the object that the request names. */
  authorizeCreate(): void;
}

export function requireVerb(definition: ResourceDefinition, verb: Verb): void {
  if (!definition.verbs.includes(verb)) throw methodNotAllowed(definition, verb);
}

export function viewOf(call: Call): View {
  const { request, definition, registry } = call;
  return {
    ...negotiate(request.headers.accept),
    pretty: isPretty(request),
    definition,
    include: includeObjectOf(request.query),
    nowMs: registry.world.clock.now(),
  };
}

/** Across namespaces there are lists and watches, nothing else. */
function requireNamespace({ info, definition }: Call): void {
  if (!definition.namespaced || info.namespace) return;
  throw info.name ? notServed() : methodNotServed();
}

export function targetOf(call: Call): Target {
  const { info, definition } = call;
  requireNamespace(call);
  const stored = storedOf(definition);
  const requested = stored === definition ? {} : { requested: definition };
  return { definition: stored, ...requested, namespace: info.namespace, name: info.name };
}

/** What the registry works with is of the stored version's shape. */
function asStored(definition: ResourceDefinition, object: KubernetesObject): KubernetesObject {
  const { storedAs } = definition;
  if (!storedAs) return object;
  definition.defaults(object);
  return storedAs.toStored(object);
}

/** A function that makes objects of the requested version, as one that makes stored ones. */
function makeStored(definition: ResourceDefinition, make: Make): Make {
  if (!definition.storedAs) return make;
  const read = readerOf(definition);
  return (current) =>
    asStored(
      definition,
      make(() => read(current())),
    );
}

/** `warnings` is where the registry puts what it has to tell the client. */
export function contextOf({ request }: Call, warnings?: string[]): WriteContext {
  const { dryRun, manager } = writeOptionsOf(request);
  const context = { user: request.user, dryRun, manager };
  return warnings ? { ...context, warnings } : context;
}

export function withWarnings(response: ApiResponse, warnings: readonly string[]): ApiResponse {
  if (warnings.length === 0) return response;
  const others = response.headers.warning ? `${response.headers.warning}, ` : "";
  return { ...response, headers: { ...response.headers, warning: others + warningHeader(warnings) } };
}

export function getOne(call: Call): Promise<ApiResponse> {
  requireVerb(call.definition, "get");
  const { definition, namespace, name } = targetOf(call);
  const view = viewOf(call);
  const { storage } = call.registry;
  const revision = call.request.query.get("resourceVersion");
  if (revision && revision !== "0") requireReached(storage.cache(definition), parseRevision(revision));
  return objectResponse(view, 200, storage.get(definition, namespace, name));
}

export function list(call: Call): Promise<ApiResponse> {
  requireVerb(call.definition, "list");
  const { definition, info, request, registry } = call;
  const { query } = request;
  const selection = selectionOf(definition, info.namespace, selectorsOf(query));
  const page = listPage(registry.storage.cache(definition), selection, listQueryOf(query));
  const objects = customOf(definition)
    ? page.objects.map((object) => registry.storage.view(definition, object))
    : page.objects;
  return listResponse(viewOf(call), { ...page, objects });
}

function listQueryOf(query: URLSearchParams): ListQuery {
  if (query.has("sendInitialEvents")) {
    const why = "sendInitialEvents is forbidden for list";
    throw invalidObject({ group: "meta.k8s.io", kind: "ListOptions" }, "", [
      forbiddenField("sendInitialEvents", why),
    ]);
  }
  return {
    limit: wholeNumber(query, "limit") ?? 0,
    continue: query.get("continue") ?? "",
    resourceVersion: query.get("resourceVersion") ?? "",
    resourceVersionMatch: query.get("resourceVersionMatch") ?? "",
  };
}

export function selectorsOf(query: URLSearchParams): {
  labelSelector: string | null;
  fieldSelector: string | null;
} {
  return { labelSelector: query.get("labelSelector"), fieldSelector: query.get("fieldSelector") };
}

export function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (!text) return undefined;
  if (!/^-?\d{1,15}$/.test(text)) {
    throw badRequest(
      `${name}: strconv.ParseInt: parsing ${JSON.stringify(text.slice(0, 100))}: invalid syntax`,
    );
  }
  return Number(text);
}

export async function createOne(call: Call): Promise<ApiResponse> {
  requireVerb(call.definition, "create");
  const warnings: string[] = [];
  const object = await readObject(call, expectedKindOf(call.definition), warnings);
  const stored = asStored(call.definition, object);
  const outcome = await create(call.registry, targetOf(call), contextOf(call, warnings), stored);
  return withWarnings(await outcomeResponse(viewOf(call), outcome), warnings);
}

export async function readObject(
  call: Call,
  expected: ExpectedKind,
  warnings: string[],
): Promise<KubernetesObject> {
  const parsed = await parseBody(call.request, expected.kind);
  return decodeObject(expected, parsed, fieldValidationOf(call.request.query), warnings);
}

export async function updateOne(call: Call): Promise<ApiResponse> {
  requireVerb(call.definition, "update");
  return updateWith(call, mainStrategy(storedOf(call.definition)));
}

export async function updateWith(call: Call, strategy: UpdateStrategy): Promise<ApiResponse> {
  const warnings: string[] = [];
  const make = makeStored(
    call.definition,
    await replacement(call, expectedKindOf(call.definition), warnings),
  );
  const outcome = await change(call.registry, targetOf(call), contextOf(call, warnings), strategy, make);
  return withWarnings(await outcomeResponse(viewOf(call), outcome), warnings);
}

/** Makes the body's object; again from the bytes if it is needed once more, for every use works in place. */
export async function replacement(
  call: Call,
  expected: ExpectedKind,
  warnings: string[],
): Promise<() => KubernetesObject> {
  const parse = await bodyParser(call.request, expected.kind);
  const validation = fieldValidationOf(call.request.query);
  return () => {
    warnings.length = 0;
    return decodeObject(expected, parse(), validation, warnings);
  };
}

export function patchOne(call: Call): Promise<ApiResponse> {
  requireVerb(call.definition, "patch");
  return patchWith(call, mainStrategy(storedOf(call.definition)));
}

export async function patchWith(call: Call, strategy: UpdateStrategy): Promise<ApiResponse> {
  const warnings: string[] = [];
  const context = contextOf(call, warnings);
  if (isApply(call.request)) {
    const outcome = await applyWith(call, strategy, context, warnings);
    return withWarnings(await outcomeResponse(viewOf(call), outcome), warnings);
  }
  const make = makeStored(call.definition, patchOf(call.request, expectedKindOf(call.definition), warnings));
  const outcome = await change(call.registry, targetOf(call), context, strategy, make);
  return withWarnings(await outcomeResponse(viewOf(call), outcome), warnings);
}

async function applyWith(
  call: Call,
  strategy: UpdateStrategy,
  context: WriteContext,
  warnings: string[],
): Promise<Outcome> {
  const { registry, request, definition } = call;
  const config = await configurationOf(request, warnings);
  const { subresource } = strategy;
  const { manager, force } = writeOptionsOf(request);
  const write = {
    definition: managedKindOf(definition),
    subresource,
    manager,
    force,
    nowMs: registry.world.clock.now(),
  };
  const make = applyMake(write, expectedKindOf(definition), config);
  const read = readerOf(definition);
  return apply(registry, targetOf(call), context, {
    strategy,
    make: (current) => asStored(definition, make(current && (() => read(current())))),
    authorizeCreate: call.authorizeCreate,
  });
}

export async function deleteOne(call: Call): Promise<ApiResponse> {
  requireVerb(call.definition, "delete");
  const options = await deleteOptionsOf(call.request);
  const context = deleteContext(call, options);
  return outcomeResponse(viewOf(call), await remove(call.registry, targetOf(call), context, options));
}

function deleteContext(call: Call, options: metav1.DeleteOptions): WriteContext {
  const { dryRun } = writeOptionsOf(call.request, options.dryRun);
  return { user: call.request.user, dryRun };
}

export async function deleteMany(call: Call): Promise<ApiResponse> {
  const { definition, info, request, registry } = call;
  requireVerb(definition, "deletecollection");
  requireNamespace(call);
  const options = await deleteOptionsOf(request);
  const selection = selectionOf(definition, info.namespace, selectorsOf(request.query));
  const target = { definition: storedOf(definition), namespace: info.namespace };
  const cache = registry.storage.cache(target.definition);
  const { objects } = listPage(cache, selection, listQueryOf(request.query));
  await removeCollection(registry, target, deleteContext(call, options), options, objects);
  const shown = objects.map((object) => registry.storage.view(definition, object));
  return listResponse(viewOf(call), { revision: registry.storage.store.revision, objects: shown });
}

/** From the body, or else from the query. */
async function deleteOptionsOf(request: ApiRequest): Promise<metav1.DeleteOptions> {
  const { query } = request;
  const options: metav1.DeleteOptions = {};
  const grace = wholeNumber(query, "gracePeriodSeconds");
  if (grace !== undefined) options.gracePeriodSeconds = grace;
  const policy = query.get("propagationPolicy");
  if (policy) options.propagationPolicy = policy;
  if (query.has("orphanDependents")) options.orphanDependents = query.get("orphanDependents") === "true";
  if (request.value === undefined && request.body.length === 0) return options;
  const { value } = await parseBody(request, "DeleteOptions");
  if (!isObject(value)) throw badRequest("DeleteOptions must be an object");
  try {
    decode("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", value);
  } catch (error) {
    if (error instanceof DecodeError) throw badRequest(error.message);
    throw error;
  }
  return { ...options, ...value };
}

/** For outcomes that are no stored object of the resource: only those have columns. */
export function plainOutcome(call: Call, outcome: Outcome): Promise<ApiResponse> {
  const representation = negotiatePlain(call.request.headers.accept);
  return outcomeResponse({ ...viewOf(call), representation }, outcome);
}
