import { describe, expect, test } from "vitest";
import { resourceDefinitions } from "#api";
import {
  aggregatedDiscovery,
  aggregatedDiscoveryType,
  coreVersions,
  groupDocument,
  groupList,
  groupsOf,
  resourceList,
} from "./index.ts";

interface Entry {
  name: string;
  kind: string;
  verbs: string[];
}

describe("discovery", () => {
  test("groups, with stable versions before betas", () => {
    const named = resourceDefinitions.map((d) => d.group).filter((group) => group !== "");
    const offered = groupsOf(resourceDefinitions).map((g) => g.group);
    expect(new Set(offered)).toEqual(new Set(named));
    expect(offered.slice(0, 3)).toEqual(["apiregistration.k8s.io", "apps", "events.k8s.io"]);
    const [first] = resourceDefinitions;
    const versions = ["v1beta1", "v2", "v1", "v2alpha3", "v1beta2"].map((version) => ({
      ...first!,
      group: "g",
      version,
    }));
    expect(groupsOf(versions)[0]!.versions).toEqual(["v2", "v1", "v1beta2", "v1beta1", "v2alpha3"]);
    expect(groupList(resourceDefinitions)).toMatchObject({ kind: "APIGroupList", apiVersion: "v1" });
    expect(coreVersions("10.0.0.1:6443")).toMatchObject({ versions: ["v1"] });
  });

  test("one group, or none", () => {
    expect(groupDocument(resourceDefinitions, "apps")).toMatchObject({
      kind: "APIGroup",
      preferredVersion: { groupVersion: "apps/v1", version: "v1" },
    });
    expect(groupDocument(resourceDefinitions, "nope")).toBeUndefined();
    expect(resourceList(resourceDefinitions, "apps", "v2")).toBeUndefined();
  });

  test("a version's resources and subresources", () => {
    const { resources, groupVersion } = resourceList(resourceDefinitions, "", "v1") as {
      resources: Entry[];
      groupVersion: string;
    };
    expect(groupVersion).toBe("v1");
    const names = resources.map((r) => r.name);
    expect(names).toEqual([...names].sort());
    expect(resources.find((r) => r.name === "pods")).toMatchObject({
      kind: "Pod",
      shortNames: ["po"],
      categories: ["all"],
    });
    expect(resources.find((r) => r.name === "pods/eviction")).toMatchObject({
      kind: "Eviction",
      group: "policy",
      version: "v1",
    });
    expect(resources.find((r) => r.name === "namespaces")!.verbs).not.toContain("deletecollection");
  });

  test("the aggregated form says the same", () => {
    interface Aggregated {
      items: {
        versions: { resources: { resource: string; subresources?: { subresource: string }[] }[] }[];
      }[];
    }
    const documents = [
      aggregatedDiscovery(resourceDefinitions, "core", "v2"),
      aggregatedDiscovery(resourceDefinitions, "named", "v2"),
    ] as unknown as Aggregated[];
    const found = documents
      .flatMap((d) => d.items)
      .flatMap((i) => i.versions)
      .flatMap((v) => v.resources)
      .flatMap((r) => [r.resource, ...(r.subresources ?? []).map((s) => `${r.resource}/${s.subresource}`)]);
    const plain = resourceDefinitions.flatMap((d) => [
      d.resource,
      ...Object.keys(d.subresources).map((s) => `${d.resource}/${s}`),
    ]);
    expect(found.sort()).toEqual(plain.sort());
    expect(aggregatedDiscovery(resourceDefinitions, "core", "v2beta1").apiVersion).toBe(
      "apidiscovery.k8s.io/v2beta1",
    );
    expect(aggregatedDiscoveryType("v2")).toBe(
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    );
  });
});
