/** How the parts of the control plane are: they live in this process, and it answers. Deprecated since Kubernetes 1.19. */
import {
  apiVersionOf,
  componentStatuses,
  type KubernetesObject,
  notFound,
  type ResourceDefinition,
} from "#api";
import { CachedObject, serialize } from "./cache/cached-object.ts";
import { selectionOf } from "./cache/selection.ts";
import type { ApiResponse } from "./http/exchange.ts";
import { listResponse, objectResponse } from "./http/respond.ts";
import { type Call, requireVerb, selectorsOf, viewOf } from "./http/verbs.ts";
import { isWatch } from "./http/watch.ts";

const definition = componentStatuses as unknown as ResourceDefinition;
const names = ["controller-manager", "etcd-0", "scheduler"];

/** Undefined for every other resource. */
export function answerComponents(call: Call): Promise<ApiResponse> | undefined {
  if (call.definition !== definition) return undefined;
  const { method, query } = call.request;
  return method === "GET" && !isWatch(query) ? answer(call) : undefined;
}

async function answer(call: Call): Promise<ApiResponse> {
  const { name } = call.info;
  if (name) {
    if (!names.includes(name)) throw notFound(definition, name);
    return objectResponse(viewOf(call), 200, healthy(name));
  }
  requireVerb(definition, "list");
  const { matches = () => true } = selectionOf(definition, undefined, selectorsOf(call.request.query));
  return listResponse(viewOf(call), { revision: 0, objects: names.map(healthy).filter(matches) });
}

function healthy(name: string): CachedObject {
  const object = {
    kind: definition.kind,
    apiVersion: apiVersionOf(definition),
    metadata: { name },
    conditions: [{ type: "Healthy", status: "True", message: "ok" }],
  };
  const value = serialize(object as unknown as KubernetesObject);
  return new CachedObject(definition, { key: `/${name}`, value, modRevision: 0 });
}
