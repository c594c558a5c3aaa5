/** Owners that webhooks have had their hands on, and changes that are none. */
import { describe, expect, test } from "vitest";
import type { KubernetesObject, metav1 } from "#api";
import { checkOwners, differOnlyInTimes } from "./managed-fields.ts";

function entry(more: object = {}): metav1.ManagedFieldsEntry {
  const fieldsV1 = { "f:data": { ".": {}, "f:a": {} } };
  return {
    manager: "a",
    operation: "Update",
    apiVersion: "v1",
    fieldsType: "FieldsV1",
    fieldsV1,
    ...more,
  } as never;
}

function object(managedFields: unknown, data: object = {}): KubernetesObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", managedFields }, data } as never;
}

describe("what webhooks make of owners", () => {
  test.each([
    ["nonsense", [{ operation: "Steal" }]],
    ["fields that are none", [entry({ fieldsV1: { "k:{": {} } })]],
    ["entries that are none", [7]],
    ["no list", "mine"],
  ])("%s: those from before stay", (_, managedFields) => {
    const changed = object(managedFields);
    checkOwners(changed, [entry()]);
    expect(changed.metadata.managedFields).toEqual([entry()]);
  });

  test("what means something is stored in its one form", () => {
    const changed = object([entry({ fieldsV1: { 'v:"b"': {}, 'k:{"n": 1}': {} } })]);
    checkOwners(changed, [entry()]);
    expect(JSON.stringify(changed.metadata.managedFields?.[0]?.fieldsV1)).toBe(
      '{"k:{\\"n\\":1}":{},"v:\\"b\\"":{}}',
    );
  });
});

test("a change of nothing but times is none", () => {
  const old = object([entry({ time: "2026-01-01T00:00:00Z" })]);
  const later = [entry({ time: "2026-01-01T00:01:00Z" })];
  expect(differOnlyInTimes(object(later), old)).toBe(true);
  expect(differOnlyInTimes(object(later, { a: "1" }), old)).toBe(false);
  expect(differOnlyInTimes(object([...later, entry({ manager: "b" })]), old)).toBe(false);
});
