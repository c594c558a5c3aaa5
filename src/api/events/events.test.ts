import { expect, test } from "vitest";
import { events } from "../core/event.ts";
import { changeErrorsOf, errorsOf, make } from "../testing/examples.ts";
import { eventsV1 } from "./event.ts";

const regarding = { kind: "Pod", name: "p", namespace: "d" };
const event = {
  regarding,
  eventTime: "2026-01-02T03:00:00.000000Z",
  reportingController: "example.com/robot",
  reportingInstance: "robot-1",
  action: "Move",
  reason: "Moved",
  type: "Normal",
};

test("the same object under clearer names", () => {
  const draft = { ...event, note: "so it is", deprecatedCount: 2, deprecatedSource: { component: "c" } };
  const stored = eventsV1.storedAs!.toStored(make(eventsV1, draft));
  expect(stored).toMatchObject({
    apiVersion: "v1",
    involvedObject: regarding,
    message: "so it is",
    reportingComponent: "example.com/robot",
    count: 2,
    source: { component: "c" },
  });
  expect(eventsV1.storedAs!.fromStored(stored)).toMatchObject(draft);
});

test.each([
  [{}, []],
  [{ type: "Odd" }, ['type: Invalid value: "": has invalid value: Odd']],
  [{ deprecatedCount: 1 }, ['count: Invalid value: "": needs to be unset']],
  [
    { series: { count: 1 } },
    ['series.count: Invalid value: "": should be at least 2', "series.lastObservedTime: Required value"],
  ],
  [
    { action: "", reason: "r".repeat(129) },
    ["action: Required value", 'reason: Invalid value: "": can have at most 128 characters'],
  ],
  [
    { reportingInstance: null, note: "n".repeat(1025) },
    ["reportingInstance: Required value", 'message: Invalid value: "": can have at most 1024 characters'],
  ],
  [
    { regarding: { kind: "Node", name: "n" } },
    ['involvedObject.namespace: Invalid value: "": does not match event.namespace'],
  ],
])("an event: %#", (rest, errors) => {
  expect(errorsOf(eventsV1, { ...event, ...rest })).toEqual(errors);
});

test("an event is written once: only its series goes on", () => {
  const series = { count: 2, lastObservedTime: "2026-01-02T03:00:00.000000Z" };
  expect(changeErrorsOf(eventsV1, event, { ...event, series })).toEqual([]);
  expect(changeErrorsOf(eventsV1, event, { ...event, reason: "Other" })).toEqual([
    'reason: Invalid value: "Other": field is immutable',
  ]);
});

test("events of the older shape stand where their object is", () => {
  expect(errorsOf(events, { involvedObject: regarding })).toEqual([]);
  expect(errorsOf(events, { involvedObject: { ...regarding, namespace: "other" } })).toEqual([
    'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
  ]);
});
