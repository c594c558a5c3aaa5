/** Event of events.k8s.io: the same object as the core Event, with clearer names. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
import { events } from "../core/event.ts";
import { immutable } from "../core/pod-spec/template.ts";
import type { corev1, eventsv1 } from "../generated/types/index.ts";
import { defineVersion } from "../meta/define-version.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";

type Stored = Readonly<corev1.Event>;

/** The names here, and in the core group. */
const renamed = {
  note: "message",
  regarding: "involvedObject",
  reportingController: "reportingComponent",
  deprecatedSource: "source",
  deprecatedFirstTimestamp: "firstTimestamp",
  deprecatedLastTimestamp: "lastTimestamp",
  deprecatedCount: "count",
} as const;

function withNames(object: object, names: ReadonlyMap<string, string>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [names.get(name) ?? name, value]));
}

const toCore = new Map<string, string>(Object.entries(renamed));
const fromCore = new Map<string, string>(Object.entries(renamed).map(([name, core]) => [core, name]));

function seriesErrors({ series }: Stored): FieldError[] {
  if (!series) return [];
  return [
    ...((series.count ?? 0) < 2 ? [invalid("series.count", "", "should be at least 2")] : []),
    ...(series.lastObservedTime ? [] : [required("series.lastObservedTime")]),
  ];
}

const deprecated = ["firstTimestamp", "lastTimestamp", "count"] as const;

function validateCreate(event: Stored): FieldError[] {
  const errors = seriesErrors(event);
  if (!event.eventTime) errors.push(required("eventTime"));
  if (event.type !== "Normal" && event.type !== "Warning")
    errors.push(invalid("type", "", `has invalid value: ${event.type ?? ""}`));
  for (const name of deprecated) if (event[name]) errors.push(invalid(name, "", "needs to be unset"));
  if (event.source?.component || event.source?.host) errors.push(invalid("source", "", "needs to be unset"));
  return errors;
}

const fixed = [
  "involvedObject",
  "reason",
  "message",
  "source",
  "firstTimestamp",
  "lastTimestamp",
  "count",
  "type",
  "eventTime",
  "action",
  "related",
] as const;

/** Only the series goes on. */
function validateChange(event: Stored, old: Stored): FieldError[] {
  const isOther = immutable(event.series, old.series, "series").length > 0;
  return [
    ...(isOther ? seriesErrors(event) : []),
    ...fixed.flatMap((name) => immutable(event[name], old[name], name)),
    ...immutable(event.reportingComponent, old.reportingComponent, "reportingController"),
    ...immutable(event.reportingInstance, old.reportingInstance, "reportingInstance"),
  ];
}

const regardingFields = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];

export const eventsV1 = defineVersion<eventsv1.Event, corev1.Event>(events, {
  group: "events.k8s.io",
  version: "v1",
  typeName: "io.k8s.api.events.v1.Event",
  toStored: (event) => {
    const core = withNames(event, toCore);
    core.involvedObject ??= {};
    return core as unknown as corev1.Event;
  },
  fromStored: (event) => withNames(event, fromCore) as unknown as eventsv1.Event,
  fieldLabels: {
    ...Object.fromEntries(regardingFields.map((name) => [`regarding.${name}`, `involvedObject.${name}`])),
    reason: "reason",
    reportingController: "reportingComponent",
    type: "type",
  },
  validateRequest: (event, old) => (old ? validateChange(event, old) : validateCreate(event)),
});
