/** Subresources: which call each of them takes, and with which body. */
import {
  apiVersionOf,
  type autoscalingv1,
  badRequest,
  bindings,
  type corev1,
  type KubernetesObject,
  methodNotAllowed,
  notServed,
  pods,
  type policyv1,
  type ResourceDefinition,
  storedOf,
} from "#api";
import { ownersOfReplicas, ownersWithReplicas } from "../apply/index.ts";
import type { TokenIssuer } from "../authentication/service-account-tokens.ts";
import { customOf } from "../customresources/custom-definition.ts";
import type { Outcome } from "../registry/context.ts";
import { evict } from "../registry/eviction.ts";
import { approve } from "../registry/outside.ts";
import {
  approvalStrategy,
  bind,
  ephemeralContainersStrategy,
  finalize,
  resizeStrategy,
  scaled,
  scaleOf,
} from "../registry/subresources.ts";
import { change, type Make, mainStrategy, statusStrategy, type UpdateStrategy } from "../registry/update.ts";
import { applyMake, configurationOf, definitionOfKind } from "./apply-patch.ts";
import { type ExpectedKind, expectedKindOf } from "./body.ts";
import type { ApiResponse } from "./exchange.ts";
import { patchOf } from "./patch.ts";
import {
  type Call,
  contextOf,
  getOne,
  patchWith,
  plainOutcome,
  readObject,
  replacement,
  targetOf,
  updateWith,
  withWarnings,
} from "./verbs.ts";
import { isApply, writeOptionsOf } from "./write-options.ts";

const kinds = {
  binding: { typeName: "io.k8s.api.core.v1.Binding", kind: "Binding", apiVersion: "v1" },
  eviction: {
    typeName: "io.k8s.api.policy.v1.Eviction",
    kind: "Eviction",
    apiVersion: "policy/v1",
    accepts: ["policy/v1beta1"],
  },
  scale: { typeName: "io.k8s.api.autoscaling.v1.Scale", kind: "Scale", apiVersion: "autoscaling/v1" },
  token: {
    typeName: "io.k8s.api.authentication.v1.TokenRequest",
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
  },
} satisfies Record<string, ExpectedKind>;

type Binding = corev1.Binding & KubernetesObject;

export function subresourceCall(call: Call, tokens: TokenIssuer): Promise<ApiResponse> {
  const { info } = call;
  const definition = storedOf(call.definition);
  if (!Object.hasOwn(call.definition.subresources, info.subresource)) throw notServed();
  switch (info.subresource) {
    case "status":
      return partCall(call, statusStrategy(definition));
    case "ephemeralcontainers":
      return partCall(call, ephemeralContainersStrategy);
    case "resize":
      return partCall(call, resizeStrategy);
    case "approval":
      return partCall(call, approvalStrategy);
    case "scale":
      return scaleCall(call);
    case "finalize":
      return finalizeCall(call);
    case "binding":
      return postCall(call, kinds.binding, (body) =>
        bind(call.registry, targetOf(call), contextOf(call), body as Binding),
      );
    case "eviction":
      return postCall(call, kinds.eviction, (body) =>
        evict(call.registry, targetOf(call), contextOf(call), body as policyv1.Eviction & KubernetesObject),
      );
    case "token":
      return postCall(call, kinds.token, async (body) => {
        await approveToken(call, body);
        return { code: 201, object: await tokens.issue(targetOf(call), body) };
      });
    default:
      throw notServed();
  }
}

/** Nodes may not ask for every token, and webhooks may have rules of their own. */
function approveToken(call: Call, object: KubernetesObject): Promise<void> {
  const { user, dryRun } = contextOf(call);
  const kind = { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" };
  const asked = { operation: "CREATE" as const, subresource: "token", kind, user, dryRun };
  return approve(call.registry.admission, { ...targetOf(call), ...asked, object, old: undefined });
}

/** The older way to bind: the pod is the one that the Binding is named after. Undefined for every other resource. */
export function answerBinding(call: Call): Promise<ApiResponse> | undefined {
  if (call.definition !== (bindings as unknown as ResourceDefinition)) return undefined;
  return postCall(call, kinds.binding, (body) => {
    const { name } = body.metadata;
    if (!name) throw badRequest("name is required");
    const target = { ...targetOf(call), definition: pods as unknown as ResourceDefinition, name };
    return bind(call.registry, target, contextOf(call), body as Binding);
  });
}

function refuse(call: Call): never {
  const { definition, info, request } = call;
  const subject = { group: definition.group, resource: `${definition.resource}/${info.subresource}` };
  throw methodNotAllowed(subject, request.method.toLowerCase());
}

/** A subresource that shows the whole object and changes a part of it. */
function partCall(call: Call, strategy: UpdateStrategy): Promise<ApiResponse> {
  switch (call.request.method) {
    case "GET":
      return getOne(call);
    case "PUT":
      return updateWith(call, strategy);
    case "PATCH":
      return patchWith(call, strategy);
    default:
      return refuse(call);
  }
}

async function postCall(
  call: Call,
  expected: ExpectedKind,
  act: (body: KubernetesObject) => Promise<Outcome>,
): Promise<ApiResponse> {
  if (call.request.method !== "POST") refuse(call);
  const warnings: string[] = [];
  const body = await readObject(call, expected, warnings);
  return withWarnings(await plainOutcome(call, await act(body)), warnings);
}

async function scaleCall(call: Call): Promise<ApiResponse> {
  const { registry, request } = call;
  const target = targetOf(call);
  const { definition } = target;
  if (request.method === "GET") {
    const object = registry.storage.get(definition, target.namespace, target.name).parse();
    return plainOutcome(call, { code: 200, object: scaleOf(definition, object) });
  }
  if (request.method !== "PUT" && request.method !== "PATCH") return refuse(call);
  const warnings: string[] = [];
  const context = contextOf(call, warnings);
  const make = isApply(request) ? await scaleApply(call, warnings) : await scaleMake(call, warnings);
  const strategy = { ...mainStrategy(definition), subresource: "scale" };
  const isApplied = isApply(request);
  const outcome = await change(registry, target, { ...context, isApplied }, strategy, make);
  const object = "stored" in outcome ? scaleOf(definition, outcome.stored.parse()) : outcome.object;
  return withWarnings(await plainOutcome(call, { code: outcome.code, object }), warnings);
}

type Scale = autoscalingv1.Scale & KubernetesObject;

async function scaleMake(call: Call, warnings: string[]): Promise<Make> {
  const { request, definition } = call;
  const wanted =
    request.method === "PUT"
      ? await replacement(call, kinds.scale, warnings)
      : patchOf(request, kinds.scale, warnings);
  return (current) => scaled(definition, current(), wanted(() => scaleOf(definition, current())) as Scale);
}

/** An applied Scale owns the one field of the object that it stands for. */
async function scaleApply(call: Call, warnings: string[]): Promise<Make> {
  const { request, registry, definition } = call;
  const config = await configurationOf(request, warnings);
  const { manager, force } = writeOptionsOf(request);
  const write = {
    definition: definitionOfKind(kinds.scale),
    ownersVersion: apiVersionOf(definition),
    subresource: "scale",
    manager,
    force,
    nowMs: registry.world.clock.now(),
  };
  const make = applyMake(write, kinds.scale, config);
  const path = customOf(definition)?.scale?.path ?? ["spec", "replicas"];
  return (current) => {
    const object = current();
    const scale = scaleOf(definition, object);
    const owners = object.metadata.managedFields;
    if (owners) scale.metadata.managedFields = ownersOfReplicas(owners, path);
    const applied = make(() => scale) as Scale;
    const result = scaled(definition, object, applied);
    const after = ownersWithReplicas(owners, applied.metadata.managedFields, path);
    if (after) result.metadata.managedFields = after;
    else delete result.metadata.managedFields;
    return result;
  };
}

async function finalizeCall(call: Call): Promise<ApiResponse> {
  if (call.request.method !== "PUT") return refuse(call);
  const make = await replacement(call, expectedKindOf(call.definition), []);
  return plainOutcome(call, await finalize(call.registry, targetOf(call), contextOf(call), make));
}
