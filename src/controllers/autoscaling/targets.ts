/** What may be scaled: every kind with a `scale` subresource, and the name of the resource of a kind. */
import { customResourceDefinitions, type KubernetesObject, type ResourceType, storedDefinitions } from "#api";
import { customTypeOf } from "../kit/custom-kinds.ts";
import type { ControllerContext } from "../kit/define-controller.ts";

interface Reference {
  readonly apiVersion?: string;
  readonly kind: string;
}

function groupOf({ apiVersion = "" }: Reference): string {
  const parts = apiVersion.split("/");
  if (parts.length > 2) throw new Error(`unexpected GroupVersion string: ${apiVersion}`);
  return parts.length === 2 ? (parts[0] ?? "") : "";
}

/** The resource of that kind, whatever version the reference names; throws where there is none. */
export function resourceOf(reference: Reference, { informers }: ControllerContext): ResourceType {
  const group = groupOf(reference);
  const { kind } = reference;
  const builtIn = storedDefinitions.find((each) => each.group === group && each.kind === kind);
  if (builtIn) return builtIn as ResourceType<KubernetesObject>;
  const definitions = informers.of(customResourceDefinitions).list();
  const definition = definitions.find(({ spec }) => spec.group === group && spec.names.kind === kind);
  const custom = definition && customTypeOf(definition);
  if (custom) return custom;
  throw new Error(`no matches for kind "${kind}" in group "${group}"`);
}

/** `services`, `ingresses.networking.k8s.io`. */
export function groupResourceOf({ group, resource }: ResourceType): string {
  return group ? `${resource}.${group}` : resource;
}
