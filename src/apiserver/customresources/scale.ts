/** The scale subresource of custom resources. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource */
import {
  type apiextensionsv1,
  invalidObject,
  isObject,
  type ResourceDefinition,
  required,
  setOwn,
} from "#api";
import type { CustomScale } from "./custom-definition.ts";
import { parseJsonPath } from "./json-path.ts";

type Paths = Readonly<apiextensionsv1.CustomResourceSubresourceScale>;

export function scaleOfCustom(
  paths: Paths | undefined,
  definition: Pick<ResourceDefinition, "group" | "kind">,
): CustomScale | undefined {
  if (!paths) return undefined;
  const specReplicas = parseJsonPath(paths.specReplicasPath);
  const statusReplicas = parseJsonPath(paths.statusReplicasPath);
  const selector = paths.labelSelectorPath ? parseJsonPath(paths.labelSelectorPath) : undefined;
  const path = paths.specReplicasPath.slice(1).split(".");
  return {
    path,
    read(object) {
      const { metadata } = object;
      const wanted = specReplicas(object)[0];
      if (wanted !== undefined && !Number.isInteger(wanted))
        throw invalidObject(definition, metadata.name, [required(paths.specReplicasPath)]);
      const actual = statusReplicas(object)[0];
      const text = selector?.(object)[0];
      return {
        kind: "Scale",
        apiVersion: "autoscaling/v1",
        metadata: {
          name: metadata.name,
          ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
          uid: metadata.uid,
          resourceVersion: metadata.resourceVersion,
          creationTimestamp: metadata.creationTimestamp,
        },
        spec: wanted ? { replicas: wanted as number } : {},
        status: {
          replicas: Number.isInteger(actual) ? (actual as number) : 0,
          ...(typeof text === "string" && text ? { selector: text } : {}),
        },
      };
    },
    write(object, replicas) {
      let place = object as unknown as Record<string, unknown>;
      for (const name of path.slice(0, -1)) {
        const inner = Object.hasOwn(place, name) ? place[name] : undefined;
        const next = isObject(inner) ? inner : {};
        if (next !== inner) setOwn(place, name, next);
        place = next;
      }
      setOwn(place, path.at(-1)!, replicas);
    },
  };
}
