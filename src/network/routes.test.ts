import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { routesOf } from "./routes.ts";

function node(name: string, address?: string, podCIDR?: string): corev1.Node {
  return {
    metadata: { name },
    spec: podCIDR ? { podCIDR } : {},
    status: { addresses: address ? [{ type: "InternalIP", address }] : [] },
  } as corev1.Node;
}

test("every other node with an address and pods gets a route", () => {
  const all = [
    node("a", "192.0.2.1", "10.244.0.0/24"),
    node("b", "192.0.2.2", "10.244.1.0/24"),
    node("without-pods", "192.0.2.3"),
    node("without-address", undefined, "10.244.3.0/24"),
  ];
  expect(routesOf(all, "a")).toEqual([{ cidr: "10.244.1.0/24", via: "192.0.2.2" }]);
  expect(routesOf(all, "b")).toEqual([{ cidr: "10.244.0.0/24", via: "192.0.2.1" }]);
});
