/** Nodes on one machine: what they are called and where they are, and what each says of its cluster DNS. */
import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { createWorld, silentLogger } from "#base";
import { createAuthority } from "./certificates.ts";
import { cgroupRootOf, configFor, pathsOf } from "./config.ts";
import { areNodeCredentialsGood } from "./credentials.ts";
import { joinExtensions } from "./join.ts";
import { localNodesOf } from "./local-nodes.ts";
import { dnsSlicesOf } from "./node-dns.ts";
import { nodeRangesOf } from "./node-ranges.ts";

const world = createWorld({ log: silentLogger });
const config = configFor({ name: "a", slot: 3, nodeName: "vm", nodeAddress: "192.0.2.2" });

test("further nodes have names, addresses, links and folders of their own", () => {
  const nodes = localNodesOf({ ...config, localNodes: 2 }, pathsOf("a", "/data"));
  expect(nodes.map(({ name, address, namespace, link }) => [name, address, namespace, link])).toEqual([
    ["vm-2", "198.19.3.2", "knarr-a-2", "knarr3n2"],
    ["vm-3", "198.19.3.3", "knarr-a-3", "knarr3n3"],
  ]);
  expect(nodes[1]!.paths.dir).toBe("/data/nodes/3");
  const roots = nodes.map(({ name }) => cgroupRootOf({ name: "a", role: "agent", nodeName: name }));
  expect(new Set([cgroupRootOf(config), ...roots]).size).toBe(3);
  // A link's name has at most 15 letters, in the last slot too.
  const last = configFor({ ...config, slot: 49 });
  expect(localNodesOf({ ...last, localNodes: 99 }, pathsOf("a", "/data")).at(-1)!.link.length).toBeLessThan(
    16,
  );
});

test("a node that answers DNS has a slice meant for itself; what it says is not believed blindly", () => {
  const node = (port: string, ready = "True") =>
    ({
      metadata: { name: "vm-2", uid: "u", annotations: { "knarr.dev/dns-port": port } },
      spec: {},
      status: {
        addresses: [{ type: "InternalIP", address: "198.19.3.2" }],
        conditions: [{ type: "Ready", status: ready }],
      },
    }) as unknown as corev1.Node;
  expect(dnsSlicesOf(node("10053"))[0]).toMatchObject({
    metadata: { name: "kube-dns-vm-2", ownerReferences: [{ kind: "Node", uid: "u" }] },
    ports: [
      { port: 10053, protocol: "UDP" },
      { port: 10053, protocol: "TCP" },
    ],
    endpoints: [
      { addresses: ["198.19.3.2"], conditions: { ready: true }, hints: { forNodes: [{ name: "vm-2" }] } },
    ],
  });
  expect(dnsSlicesOf(node("10053", "Unknown"))[0]?.endpoints?.[0]?.conditions).toEqual({ ready: false });
  for (const port of ["", "x", "0", "65536", "1.5"]) expect(dnsSlicesOf(node(port))).toEqual([]);
});

test("a node renews its own certificates and nobody else's", async () => {
  const authority = await createAuthority(world, "test");
  const known = { metadata: { name: "vm-2" }, spec: { podCIDR: "10.241.1.0/24" } };
  const client = { list: async () => ({ items: [known] }) };
  const [, renew] = joinExtensions({
    config,
    authority: async () => authority,
    client: () => client as never,
    ranges: nodeRangesOf({ config, client: () => client as never }),
  });
  expect(renew!.group).toBe("system:nodes");
  const user = { username: "system:node:vm-2", groups: ["system:nodes"] };
  const asked = { nodeName: "vm", nodeAddress: "198.19.3.7" };
  const answer = (await renew!.handle(asked, user as never)) as Parameters<typeof areNodeCredentialsGood>[1];
  const credentials = { ...answer, ca: { cert: authority.cert } };
  expect(areNodeCredentialsGood(world, credentials, "vm-2", "198.19.3.7")).toBe(true);
  expect(areNodeCredentialsGood(world, credentials, "vm-2", "198.19.3.8")).toBe(false);
  expect(areNodeCredentialsGood(world, credentials, "vm", "198.19.3.7")).toBe(false);
  const later = { ...world, clock: { ...world.clock, now: () => Date.UTC(2100, 0) } };
  expect(areNodeCredentialsGood(later as typeof world, credentials, "vm-2", "198.19.3.7")).toBe(false);
});
