/** ControllerRevision. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/controller-revision-v1/ */
import { immutable, nonNegative } from "../core/pod-spec/template.ts";
import type { appsv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { required } from "../meta/field-error.ts";

type Revision = Readonly<appsv1.ControllerRevision>;

/** `daemonset.apps/web`, as kubectl names it. */
function controllerText(revision: Revision): string {
  const owner = revision.metadata.ownerReferences?.find((reference) => reference.controller);
  if (!owner) return "<none>";
  const group = owner.apiVersion.includes("/") ? `.${owner.apiVersion.split("/")[0]}` : "";
  return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
}

function validateRevision(revision: Revision) {
  return [
    ...(revision.data === undefined ? [required("data", "data is mandatory")] : []),
    ...nonNegative(revision.revision, "revision"),
  ];
}

export const controllerRevisions = defineResource<appsv1.ControllerRevision>({
  group: "apps",
  version: "v1",
  resource: "controllerrevisions",
  kind: "ControllerRevision",
  typeName: "io.k8s.api.apps.v1.ControllerRevision",
  namespaced: true,
  defaults(revision) {
    revision.revision ??= 0;
  },
  validate: validateRevision,
  validateUpdate: (revision, old) => [
    ...validateRevision(revision),
    ...immutable(revision.data, old.data, "data"),
  ],
  columns: [
    nameColumn(),
    column("Controller", "string", "Controller of the object", controllerText),
    column(
      "Revision",
      "string",
      "Revision indicates the revision of the state represented by Data.",
      (revision) => String(revision.revision ?? 0),
    ),
    ageColumn(),
  ],
});
