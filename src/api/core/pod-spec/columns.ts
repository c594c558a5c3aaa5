/** Cells that every kind with a pod template shows. */
import type { corev1 } from "../../generated/types/index.ts";

export function containerNames(spec: Readonly<corev1.PodSpec> | undefined): string {
  return (spec?.containers ?? []).map((c) => c.name).join(",");
}

export function containerImages(spec: Readonly<corev1.PodSpec> | undefined): string {
  return (spec?.containers ?? []).map((c) => c.image ?? "").join(",");
}
