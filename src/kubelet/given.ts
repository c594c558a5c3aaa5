/** What containers are given of the node one by one: devices, claims, processors, memory, users. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { UserError, type World } from "#base";
import type { Client } from "#client";
import type { RuntimeVersion } from "#contracts";
import { findHierarchies, limitsHugePages } from "./cgroups.ts";
import { createClaimManager } from "./claims/manager.ts";
import type { KubeletConfig } from "./config/settings.ts";
import { type CpuManager, createCpuManager } from "./cpus/manager.ts";
import { cpuOptionsOf } from "./cpus/options.ts";
import { reservedCpusOf } from "./cpus/reserved.ts";
import { readTopology } from "./cpus/topology.ts";
import { createDeviceManager, type DeviceManager } from "./devices/manager.ts";
import { checkMachine, readKernelParameter } from "./machine-checks.ts";
import { createMemoryManager, type MemoryManager } from "./memory/manager.ts";
import { reservedMemoryOf } from "./memory/reserved.ts";
import { type Machine, podsMaxOf } from "./node-info.ts";
import type { NodeFigures } from "./pod-resources.ts";
import { createRuntimeHandlers } from "./runtime-handlers.ts";
import { createTopologyManager, type TopologyManager } from "./topology/manager.ts";
import { type NumaNode, readNumaNodes } from "./topology/numa.ts";
import { topologyOptionsOf } from "./topology/options.ts";
import { createUserNamespaces } from "./user-namespaces.ts";

export interface GivenOptions {
  client: Client;
  world: World;
  config: KubeletConfig;
  dataDir: string;
  machine: Machine;
  version: RuntimeVersion;
  wake: { pod(uid: string): void; node(): void; isActive(uid: string): boolean };
}

/** Throws a `UserError` for a policy that this machine is too large for. */
function topologyOf(
  config: KubeletConfig,
  nodes: readonly NumaNode[],
  providers: readonly [DeviceManager, CpuManager, MemoryManager],
): TopologyManager {
  const { preferClosest, nodesMax } = topologyOptionsOf(config.topologyManagerOptions);
  const policy = config.topologyManagerPolicy;
  if (policy !== "none" && nodes.length > nodesMax)
    throw new UserError(
      `unsupported on machines with more than ${nodesMax} NUMA Nodes`,
      'set topologyManagerPolicyOptions: {max-allowable-numa-nodes: "…"}, or topologyManagerPolicy: none',
    );
  return createTopologyManager({
    rules: { policy, preferClosest, nodes },
    scope: config.topologyManagerScope,
    providers,
  });
}

/** Throws a `UserError` where the machine is not as it has to be. */
export function figuresOf(machine: Machine, config: KubeletConfig): NodeFigures {
  const hierarchies = findHierarchies();
  const isUnified = hierarchies.unified;
  checkMachine(config, { swapBytes: machine.swapBytes, isUnified, kernel: readKernelParameter });
  return {
    memoryBytes: machine.memoryBytes,
    hugePageSizes: limitsHugePages(hierarchies) ? [...machine.hugePages.keys()] : [],
    swap: { bytes: machine.swapBytes, behavior: config.swapBehavior, isUnified },
    oomGroup: isUnified && !config.singleProcessOomKill,
    cfsPeriodUs: config.cpuCfsQuota ? Math.round(config.cpuCfsPeriodMs * 1000) : 0,
  };
}

function readAppArmor(): boolean {
  try {
    return readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").startsWith("Y");
  } catch {
    return false;
  }
}

export function whatIsGiven({ client, world, config, dataDir, machine, version, wake }: GivenOptions) {
  const nodes = readNumaNodes(machine.memoryBytes, machine.hugePages);
  const isActive = (uid: string) => wake.isActive(uid);
  const devices = createDeviceManager({
    dir: join(dataDir, "device-plugins"),
    world,
    nodes: nodes.map(({ id }) => id),
    isActive,
    changed: () => {
      wake.node();
      // Their status tells how their devices are.
      for (const uid of devices.pods()) wake.pod(uid);
    },
  });
  const topology = readTopology(machine.cpus);
  const cpus = createCpuManager({
    policy: config.cpuManagerPolicy,
    options: cpuOptionsOf(config.cpuManagerOptions),
    topology,
    reserved: reservedCpusOf(topology, config),
    file: join(dataDir, "cpus.json"),
    world,
    isActive,
  });
  const memory = createMemoryManager({
    policy: config.memoryManagerPolicy,
    nodes,
    reserved: config.memoryManagerPolicy === "Static" ? reservedMemoryOf(config) : new Map(),
    file: join(dataDir, "memory.json"),
    world,
    isActive,
  });
  return {
    devices,
    cpus,
    memory,
    topology: topologyOf(config, nodes, [devices, cpus, memory]),
    claims: createClaimManager({
      client,
      world,
      file: join(dataDir, "claims.json"),
      healthChanged: (uid) => wake.pod(uid),
    }),
    handlers: createRuntimeHandlers(client),
    userNamespaces: createUserNamespaces({
      podsDir: join(dataDir, "pods"),
      idsPerPod: config.userIdsPerPod,
      podsMax: podsMaxOf(machine, config),
    }),
    lacksAppArmor: !readAppArmor(),
    runtimeKnowsCdi: version.runtimeName === "containerd" && !/^v?[01]\./.test(version.runtimeVersion),
  };
}
