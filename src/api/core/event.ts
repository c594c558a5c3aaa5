/** Event. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { formatAge, parseTime } from "../meta/time.ts";
import { invalidEach } from "../validation/checks.ts";
import { qualifiedNameErrors } from "../validation/names.ts";

type Event = Readonly<corev1.Event>;

const textMax = 128;
const messageMax = 1024;

/** Events that tell their exact time are of the newer shape: they name their reporter, and what it did. */
function validateEvent(event: Event): FieldError[] {
  if (!event.eventTime) return placeErrors(event, ["default"]);
  const place = event.involvedObject?.namespace ? [] : placeErrors(event, ["default", "kube-system"]);
  const { reportingComponent = "", message = "" } = event;
  return [
    ...place,
    ...(reportingComponent ? [] : [required("reportingComponent")]),
    ...invalidEach("reportingComponent", reportingComponent, qualifiedNameErrors(reportingComponent)),
    ...(["reportingInstance", "action", "reason"] as const).flatMap((name) => {
      const text = event[name] ?? "";
      return text ? tooLong(text, name, textMax) : [required(name)];
    }),
    ...tooLong(message, "message", messageMax),
  ];
}

/** Events are where their object is; those about objects without a namespace have places of their own. */
function placeErrors(event: Event, placesOfOthers: readonly string[]): FieldError[] {
  const involved = event.involvedObject?.namespace ?? "";
  const actual = event.metadata.namespace ?? "";
  const isThere = involved ? actual === involved : placesOfOthers.includes(actual);
  return isThere ? [] : [invalid("involvedObject.namespace", involved, "does not match event.namespace")];
}

function tooLong(text: string, field: string, max: number): FieldError[] {
  return Buffer.byteLength(text) > max ? [invalid(field, "", `can have at most ${max} characters`)] : [];
}

function since(timestamp: string | undefined, nowMs: number): string {
  const ms = timestamp === undefined ? undefined : parseTime(timestamp);
  return ms === undefined ? "<unknown>" : formatAge(nowMs - ms);
}

function firstSeen(event: Event, nowMs: number): string {
  return since(event.firstTimestamp ?? event.eventTime, nowMs);
}

function lastSeen(event: Event, nowMs: number): string {
  const last = event.series?.lastObservedTime ?? event.lastTimestamp;
  return last === undefined ? firstSeen(event, nowMs) : since(last, nowMs);
}

function objectText(event: Event): string {
  const { kind = "", name = "" } = event.involvedObject ?? {};
  return kind ? `${kind.toLowerCase()}/${name}` : name;
}

function sourceText(event: Event): string {
  const component = event.source?.component ?? event.reportingComponent ?? "";
  const host = event.source?.host ?? event.reportingInstance ?? "";
  return host ? `${component}, ${host}` : component;
}

export const events = defineResource<corev1.Event>({
  group: "",
  version: "v1",
  resource: "events",
  kind: "Event",
  typeName: "io.k8s.api.core.v1.Event",
  namespaced: true,
  shortNames: ["ev"],
  validate: validateEvent,
  validateUpdate: validateEvent,
  selectableFields: {
    "involvedObject.kind": (e) => e.involvedObject?.kind ?? "",
    "involvedObject.namespace": (e) => e.involvedObject?.namespace ?? "",
    "involvedObject.name": (e) => e.involvedObject?.name ?? "",
    "involvedObject.uid": (e) => e.involvedObject?.uid ?? "",
    "involvedObject.apiVersion": (e) => e.involvedObject?.apiVersion ?? "",
    "involvedObject.resourceVersion": (e) => e.involvedObject?.resourceVersion ?? "",
    "involvedObject.fieldPath": (e) => e.involvedObject?.fieldPath ?? "",
    reason: (e) => e.reason ?? "",
    reportingComponent: (e) => e.reportingComponent ?? "",
    source: (e) => e.source?.component ?? e.reportingComponent ?? "",
    type: (e) => e.type ?? "",
  },
  columns: [
    column("Last Seen", "string", "The time at which it happened last.", lastSeen),
    column(
      "Type",
      "string",
      "Type of this event (Normal, Warning), new types could be added in the future.",
      (e) => e.type ?? "",
    ),
    column(
      "Reason",
      "string",
      "Why the transition into the object's current status happened.",
      (e) => e.reason ?? "",
    ),
    column("Object", "string", "The object that this event is about.", objectText),
    column(
      "Subobject",
      "string",
      "The part of the object that it is about.",
      (e) => e.involvedObject?.fieldPath ?? "",
      1,
    ),
    column("Source", "string", "The component reporting this event.", sourceText, 1),
    column("Message", "string", "A human-readable description of the status of this operation.", (e) =>
      (e.message ?? "").trim(),
    ),
    column("First Seen", "string", "The time at which it happened first.", firstSeen, 1),
    column(
      "Count",
      "string",
      "How often it has happened.",
      (e) => String(e.series?.count ?? (e.count || 1)),
      1,
    ),
    { ...nameColumn<corev1.Event>(), priority: 1 },
  ],
});
