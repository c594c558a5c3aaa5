/** APIService. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/api-service-v1/ */
import type { apiregistrationv1 } from "../generated/types/index.ts";
import {
  ageColumn,
  column,
  defineResource,
  keepAllButStatusWithMetadata,
  nameColumn,
} from "../meta/define-resource.ts";
import { type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import { formatTime } from "../meta/time.ts";
import { dns1035LabelErrors, dnsSubdomainErrors, pathSegmentErrors } from "../validation/names.ts";

type ApiService = apiregistrationv1.APIService;
type Spec = Readonly<apiregistrationv1.APIServiceSpec>;
type Condition = apiregistrationv1.APIServiceCondition;

const statuses = ["True", "False", "Unknown"];

/** The conditions with this one; its time moves only with its status. */
export function withApiServiceCondition(
  conditions: readonly Readonly<Condition>[] | undefined,
  wanted: Condition,
  nowMs: number,
): Condition[] {
  const others = (conditions ?? []).filter(({ type }) => type !== wanted.type);
  const old = conditions?.find(({ type }) => type === wanted.type);
  const time = old?.status === wanted.status ? old.lastTransitionTime : undefined;
  return [...others, { lastTransitionTime: time ?? formatTime(nowMs), ...wanted }];
}

export function availableCondition(service: Readonly<ApiService>): Readonly<Condition> | undefined {
  return service.status?.conditions?.find(({ type }) => type === "Available");
}

function validateApiService({ metadata, spec = {} as Spec }: Readonly<ApiService>): FieldError[] {
  const { group = "", version = "", groupPriorityMinimum = 0, versionPriority = 0 } = spec;
  const errors: FieldError[] = [];
  const name = `${version}.${group}`;
  if (metadata.name && pathSegmentErrors(metadata.name).length === 0 && metadata.name !== name)
    errors.push(
      invalid(
        "metadata.name",
        metadata.name,
        `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(name)}`,
      ),
    );
  if (!group && version !== "v1")
    errors.push(required("spec.group", "only v1 may have an empty group and it better be legacy kube"));
  if (group) for (const e of dnsSubdomainErrors(group)) errors.push(invalid("spec.group", group, e));
  for (const e of dns1035LabelErrors(version)) errors.push(invalid("spec.version", version, e));
  if (groupPriorityMinimum <= 0 || groupPriorityMinimum > 20_000)
    errors.push(
      invalid("spec.groupPriorityMinimum", groupPriorityMinimum, "must be positive and less than 20000"),
    );
  if (versionPriority <= 0 || versionPriority > 1000)
    errors.push(invalid("spec.versionPriority", versionPriority, "must be positive and less than 1000"));
  return [...errors, ...targetErrors(spec)];
}

function targetErrors({ service, caBundle = "", insecureSkipTLSVerify }: Spec): FieldError[] {
  const errors: FieldError[] = [];
  const insecure = "spec.insecureSkipTLSVerify";
  if (!service) {
    const bytes = `${Buffer.from(caBundle, "base64").length} bytes`;
    if (caBundle) errors.push(invalid("spec.caBundle", bytes, "local APIServices may not have a caBundle"));
    if (insecureSkipTLSVerify)
      errors.push(invalid(insecure, true, "local APIServices may not have insecureSkipTLSVerify"));
    return errors;
  }
  if (!service.namespace) errors.push(required("spec.service.namespace"));
  if (!service.name) errors.push(required("spec.service.name"));
  if (insecureSkipTLSVerify && caBundle)
    errors.push(invalid(insecure, true, "may not be true if caBundle is present"));
  return errors;
}

export const apiServices = defineResource<ApiService>({
  group: "apiregistration.k8s.io",
  version: "v1",
  resource: "apiservices",
  kind: "APIService",
  typeName: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
  namespaced: false,
  categories: ["api-extensions"],
  subresources: { status: { kind: "APIService", verbs: ["get", "patch", "update"] } },
  onStatusUpdate: keepAllButStatusWithMetadata,
  plainFinalizers: true,
  validateName: pathSegmentErrors,
  defaults({ spec }) {
    if (spec?.service) spec.service.port ??= 443;
  },
  /** What the server itself serves is there at once. */
  onCreate(service, { nowMs }) {
    if (service.spec?.service) service.status = {};
    else {
      const available = {
        type: "Available",
        status: "True",
        reason: "Local",
        message: "Local APIServices are always available",
      };
      service.status = { conditions: withApiServiceCondition([], available, nowMs) };
    }
  },
  validate: validateApiService,
  validateStatusUpdate: ({ status }) =>
    (status?.conditions ?? []).flatMap((condition, i) =>
      statuses.includes(condition.status)
        ? []
        : [notSupported(`status.conditions[${i}].status`, condition.status, statuses)],
    ),
  columns: [
    nameColumn(),
    column("Service", "string", "The reference to the service that hosts this API endpoint.", ({ spec }) =>
      spec?.service ? `${spec.service.namespace ?? ""}/${spec.service.name ?? ""}` : "Local",
    ),
    column("Available", "string", "Whether this service is available.", (service) => {
      const { status = "Unknown", reason = "" } = availableCondition(service) ?? {};
      return status === "True" || !reason ? status : `${status} (${reason})`;
    }),
    ageColumn(),
  ],
});
