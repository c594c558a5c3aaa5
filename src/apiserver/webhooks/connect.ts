/**
 * Admission of what opens a way into a pod, a service or a node: `exec`, `attach`, `portforward`, `proxy`.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
 */
import { type KubernetesObject, type ResourceDefinition, storedOf } from "#api";
import type { Admission, Attributes } from "../admission/admission.ts";
import type { ApiRequest } from "../http/exchange.ts";
import type { ResourceInfo } from "../http/request-info.ts";

const connecting: ReadonlySet<string> = new Set(["exec", "attach", "portforward", "proxy"]);
const repeated: ReadonlySet<string> = new Set(["command", "ports"]);

/** Throws the refusal; undefined where nobody is asked. */
export function admitConnect(
  admission: Admission,
  request: ApiRequest,
  info: ResourceInfo,
  definition: ResourceDefinition,
): Promise<unknown> | undefined {
  const { subresource, name, namespace } = info;
  if (!connecting.has(subresource)) return undefined;
  const kind = { group: "", version: "v1", kind: definition.subresources[subresource]?.kind ?? "" };
  const attributes: Attributes = {
    operation: "CONNECT",
    definition: storedOf(definition),
    subresource,
    namespace,
    name,
    kind,
    user: request.user,
    dryRun: false,
    object: optionsOf(kind.kind, request.query),
    old: undefined,
  };
  const admitted = admission.admit(attributes);
  if (admitted) return admitted.then(() => admission.review(attributes));
  return admission.review(attributes);
}

/** The options of the query as the object that webhooks are shown. */
function optionsOf(kind: string, query: URLSearchParams): KubernetesObject {
  const options: Record<string, unknown> = { kind, apiVersion: "v1" };
  for (const key of new Set(query.keys())) {
    const values = query.getAll(key);
    if (repeated.has(key)) options[key] = values;
    else options[key] = values[0] === "true" || values[0] === "false" ? values[0] === "true" : values[0];
  }
  return options as unknown as KubernetesObject;
}
