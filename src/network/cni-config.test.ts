import { expect, test } from "vitest";
import { nftTableName } from "#base";
import { cniConfig } from "./cni-config.ts";
import { masqueradeRules } from "./masquerade.ts";

test("the CNI list names the plugins, the range and the default route", () => {
  const config = cniConfig({ podCidrs: ["10.244.3.0/24"], leaseDir: "/state", mtu: 1450 });
  expect(config).toMatchObject({
    cniVersion: "1.0.0",
    plugins: [
      {
        type: "ptp",
        mtu: 1450,
        ipam: { type: "host-local", ranges: [[{ subnet: "10.244.3.0/24" }]], dataDir: "/state" },
      },
    ],
  });
});

test("pods get an address and a way out of every family", () => {
  const config = cniConfig({ podCidrs: ["10.244.3.0/24", "fd00:10:244:3::/64"], leaseDir: "/state", mtu: 0 });
  expect(config).toMatchObject({
    plugins: [
      {
        ipam: {
          ranges: [[{ subnet: "10.244.3.0/24" }], [{ subnet: "fd00:10:244:3::/64" }]],
          routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
        },
      },
    ],
  });
});

test("the kernel's own MTU is left when none is asked for", () => {
  const config = cniConfig({ podCidrs: ["10.244.3.0/24"], leaseDir: "/state", mtu: 0 }) as {
    plugins: object[];
  };
  expect(config.plugins[0]).not.toHaveProperty("mtu");
});

test("table names hold only what nft takes", () => {
  expect(nftTableName("my-cluster.1", "network")).toBe("knarr_my_cluster_1_network");
});

test("only traffic that leaves the cluster is masqueraded", () => {
  const rules = masqueradeRules({
    table: "t",
    clusterCidrs: ["10.244.0.0/16", "fd00:10:244::/56"],
    podCidrs: ["10.244.0.0/24", "fd00:10:244::/64"],
  });
  expect(rules).toContain("ip saddr 10.244.0.0/24 ip daddr != 10.244.0.0/16 masquerade");
  expect(rules).toContain("ip6 saddr fd00:10:244::/64 ip6 daddr != fd00:10:244::/56 masquerade");
});
