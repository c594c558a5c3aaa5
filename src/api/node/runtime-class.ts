/** RuntimeClass. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/runtime-class-v1/ */

import { nodeLabelDeprecation } from "../core/node-labels.ts";
import { immutable } from "../core/pod-spec/template.ts";
import { validateResources } from "../core/pod-spec/validate-resources.ts";
import { validateTolerations } from "../core/pod-spec/validate-scheduling.ts";
import type { nodev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { duplicate, type FieldError } from "../meta/field-error.ts";
import { invalidEach } from "../validation/checks.ts";
import { dnsLabelErrors, validateLabels } from "../validation/names.ts";

type RuntimeClass = Readonly<nodev1.RuntimeClass>;

function validateScheduling({ nodeSelector, tolerations = [] }: Readonly<nodev1.Scheduling>): FieldError[] {
  const path = "scheduling.tolerations";
  const errors = [
    ...validateLabels(nodeSelector, "scheduling.nodeSelector"),
    ...validateTolerations(tolerations, path),
  ];
  const seen = new Set<string>();
  for (const [i, t] of tolerations.entries()) {
    const identity = JSON.stringify([t.key, t.operator, t.value, t.effect]);
    if (seen.has(identity)) errors.push(duplicate(`${path}[${i}]`, t));
    seen.add(identity);
  }
  return errors;
}

function validateRuntimeClass({ handler = "", overhead, scheduling }: RuntimeClass): FieldError[] {
  return [
    ...invalidEach("handler", handler, dnsLabelErrors(handler)),
    ...(overhead?.podFixed ? validateResources({ limits: overhead.podFixed }, "overhead") : []),
    ...(scheduling ? validateScheduling(scheduling) : []),
  ];
}

export const runtimeClasses = defineResource<nodev1.RuntimeClass>({
  group: "node.k8s.io",
  version: "v1",
  resource: "runtimeclasses",
  kind: "RuntimeClass",
  typeName: "io.k8s.api.node.v1.RuntimeClass",
  namespaced: false,
  validate: validateRuntimeClass,
  warnings: ({ scheduling }) =>
    Object.keys(scheduling?.nodeSelector ?? {}).flatMap((key) => {
      const message = nodeLabelDeprecation(key);
      return message ? [`scheduling.nodeSelector: ${message}`] : [];
    }),
  validateUpdate: (runtimeClass, old) => immutable(runtimeClass.handler, old.handler, "handler"),
  columns: [
    nameColumn(),
    column(
      "Handler",
      "string",
      "The configuration of the runtime that its pods use.",
      (c) => c.handler ?? "",
    ),
    ageColumn(),
  ],
});
