import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { routesOf, standingRoutes } from "./routes.ts";
import { deviceOf, gatewayOf, hardwareAddressOf, networkIdOf, wayOf } from "./vxlan.ts";

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
  expect(routesOf(all, "a")).toEqual([
    {
      cidr: "10.244.1.0/24",
      via: "192.0.2.2",
      underlay: "192.0.2.2",
      home: "10.244.1.0/24",
      cidrs: ["10.244.1.0/24"],
    },
  ]);
  expect(routesOf(all, "b").map(({ cidr }) => cidr)).toEqual(["10.244.0.0/24"]);
});

test("with both families a node has a route of each; one without an address of IPv6 is reached by the overlay", () => {
  const dual = (name: string, number: number, addresses: string[]) =>
    ({
      metadata: { name },
      spec: { podCIDRs: [`10.244.${number}.0/24`, `fd00:10:244:${number}::/64`] },
      status: { addresses: addresses.map((address) => ({ type: "InternalIP", address })) },
    }) as unknown as corev1.Node;
  const all = [
    dual("a", 1, ["192.0.2.1", "fd00::1"]),
    dual("b", 2, ["192.0.2.2", "fd00::2"]),
    dual("c", 3, ["192.0.2.3"]),
  ];
  expect(routesOf(all, "a").map(({ cidr, via, home }) => [cidr, via, home])).toEqual([
    ["10.244.2.0/24", "192.0.2.2", "10.244.2.0/24"],
    ["fd00:10:244:2::/64", "fd00::2", "10.244.2.0/24"],
    ["10.244.3.0/24", "192.0.2.3", "10.244.3.0/24"],
    ["fd00:10:244:3::/64", undefined, "10.244.3.0/24"],
  ]);
});

test("the way to a node is direct, or through a router", () => {
  expect(wayOf("192.0.2.7 dev eth0 src 192.0.2.2 uid 0")).toEqual({ link: "eth0", isDirect: true });
  const far = "203.0.113.4 via 192.0.2.1 dev eth0 src 192.0.2.2 uid 0";
  expect(wayOf(far)).toEqual({ link: "eth0", isDirect: false });
  expect(wayOf("")).toBeUndefined();
});

test("everything of the overlay follows from the nodes' pod addresses", () => {
  expect(gatewayOf("10.244.7.0/24")).toBe("10.244.7.0");
  expect(hardwareAddressOf("10.244.7.0/24")).toBe("02:6b:0a:f4:07:00");
  expect(networkIdOf("10.244.0.0/16")).toBe(2804);
  // A link's name has at most 15 letters.
  expect(deviceOf("255.255.0.0/16").length).toBeLessThan(16);
});

test("routes that the kernel has lost are seen to be missing", () => {
  const listed =
    "10.244.1.0/24 via 198.19.0.2 dev knarr0n2 \n10.244.2.0/24 via 10.244.2.0 dev knarr-vx2804 onlink \n";
  expect([...standingRoutes(listed)]).toEqual(["10.244.1.0/24", "10.244.2.0/24"]);
  const long = "fd00:10:244:1::/64 via fd00:198:19::2 dev knarr0n2 metric 1024 pref medium\n";
  expect([...standingRoutes(long)]).toEqual(["fd00:10:244:1::/64"]);
  expect(standingRoutes("unreachable default dev lo\n").size).toBe(0);
});
