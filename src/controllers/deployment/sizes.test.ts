import { expect, test } from "vitest";
import type { appsv1 } from "#api";
import { deploymentDraft } from "../kit/world.fixture.ts";
import { shrinkOldSets } from "./sizes.ts";

function set(name: string, replicas: number, availableReplicas: number, observed = 1): appsv1.ReplicaSet {
  return {
    metadata: { name, generation: 1, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { replicas },
    status: { replicas, availableReplicas, observedGeneration: observed },
  } as appsv1.ReplicaSet;
}

const strategy = { type: "RollingUpdate" as const, rollingUpdate: { maxSurge: 2, maxUnavailable: 1 } };
const deployment = deploymentDraft({ replicas: 6, strategy }) as appsv1.Deployment;

test("a set that was just shrunk does not count the pods it is about to lose", () => {
  expect(shrinkOldSets(deployment, set("new", 4, 3), [set("old", 4, 5)]).get("old")).toBe(2);
});

test("a status that is behind its set says nothing about what will serve", () => {
  // The new set was emptied, then wanted again: the pod its status still counts is going.
  const sizes = shrinkOldSets(deployment, set("new", 2, 1, 0), [set("old", 6, 5)]);
  expect([...sizes.values()].every((size) => size >= 5)).toBe(true);
  expect(shrinkOldSets(deployment, set("new", 2, 1), [set("old", 6, 5)]).get("old")).toBe(4);
});
