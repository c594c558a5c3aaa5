/** Cells that every kind with a pod template shows. */
import type { corev1 } from "../../generated/types/index.ts";
import { column } from "../../meta/define-resource.ts";
import type { Column } from "../../meta/definition.ts";
import type { KubernetesObject } from "../../meta/resource-type.ts";

function containerNames(spec: Readonly<corev1.PodSpec> | undefined): string {
  return (spec?.containers ?? []).map((c) => c.name).join(",");
}

function containerImages(spec: Readonly<corev1.PodSpec> | undefined): string {
  return (spec?.containers ?? []).map((c) => c.image ?? "").join(",");
}

/** What `-o wide` shows of the pods a workload makes: the same two columns for every kind. */
export function containerColumns<T extends KubernetesObject>(
  podSpecOf: (object: Readonly<T>) => corev1.PodSpec | undefined,
): Column<T>[] {
  return [
    column<T>(
      "Containers",
      "string",
      "Names of each container in the template.",
      (o) => containerNames(podSpecOf(o)),
      1,
    ),
    column<T>(
      "Images",
      "string",
      "Images referenced by each container in the template.",
      (o) => containerImages(podSpecOf(o)),
      1,
    ),
  ];
}
