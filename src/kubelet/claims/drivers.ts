/**
 * The drivers of dynamic resources that are on this node, and the two calls it makes of them.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import type { World } from "#base";
import { connectPlugin } from "../plugins/grpc.ts";
import type { PluginHandler } from "../plugins/watcher.ts";
import { type ClaimHealth, createClaimHealth } from "./health.ts";

export interface ClaimReference {
  namespace: string;
  uid: string;
  name: string;
}

export interface PreparedDevice {
  /** The requests of the claim that it answers; none: all of them. */
  requestNames: string[];
  poolName: string;
  deviceName: string;
  cdiDeviceIds: string[];
}

export interface ClaimDrivers {
  readonly handler: PluginHandler;
  readonly health: ClaimHealth;
  /** Throws an `Error` in upstream's words. */
  prepare(driver: string, claim: ClaimReference): Promise<PreparedDevice[]>;
  unprepare(driver: string, claim: ClaimReference): Promise<void>;
}

/** As the interface's own description has them; the two versions differ by their names alone. */
export const claimMessages = {
  Claims: { fields: { claims: { rule: "repeated", type: "Claim", id: 1 } } },
  Claim: {
    fields: {
      namespace: { type: "string", id: 1 },
      uid: { type: "string", id: 2 },
      name: { type: "string", id: 3 },
    },
  },
  Prepared: { fields: { claims: { rule: "repeated", type: "PreparedEntry", id: 1 } } },
  PreparedEntry: { fields: { key: { type: "string", id: 1 }, value: { type: "PreparedClaim", id: 2 } } },
  PreparedClaim: {
    fields: {
      devices: { rule: "repeated", type: "Device", id: 1 },
      error: { type: "string", id: 2 },
    },
  },
  Device: {
    fields: {
      requestNames: { rule: "repeated", type: "string", id: 1 },
      poolName: { type: "string", id: 2 },
      deviceName: { type: "string", id: 3 },
      cdiDeviceIds: { rule: "repeated", type: "string", id: 4 },
    },
  },
  Unprepared: { fields: { claims: { rule: "repeated", type: "UnpreparedEntry", id: 1 } } },
  UnpreparedEntry: { fields: { key: { type: "string", id: 1 }, value: { type: "UnpreparedClaim", id: 2 } } },
  UnpreparedClaim: { fields: { error: { type: "string", id: 1 } } },
};

export const claimMethodsOf = (version: string) => {
  const service = `/k8s.io.kubelet.pkg.apis.dra.${version}.DRAPlugin`;
  return {
    prepare: [`${service}/NodePrepareResources`, "Claims", "Prepared"],
    unprepare: [`${service}/NodeUnprepareResources`, "Claims", "Unprepared"],
  } as const;
};

const versions = ["v1", "v1beta1"];
/** As upstream: preparing a device may take long. */
const timeoutMs = 45_000;

interface Answer {
  claims: { key: string; value?: { devices?: PreparedDevice[]; error?: string } }[];
}

/** `healthChanged`: of a driver's devices, with the driver's name. */
export function createClaimDrivers(
  { clock, log }: World,
  healthChanged: (driver: string) => void,
): ClaimDrivers {
  const health = createClaimHealth({ clock, log }, healthChanged);
  const drivers = new Map<string, { socketPath: string; version: string }>();

  async function ask(method: "prepare" | "unprepare", driver: string, claim: ClaimReference) {
    const known = drivers.get(driver);
    if (!known) throw new Error(`DRA driver ${driver} is not registered`);
    const { socketPath, version } = known;
    const methods = claimMethodsOf(version);
    const connection = connectPlugin({ socketPath, clock, methods, messages: { nested: claimMessages } });
    try {
      const { claims } = await connection.call<Answer>(method, { claims: [claim] }, timeoutMs);
      const answer = claims.find(({ key }) => key === claim.uid)?.value;
      if (!answer) throw new Error(`the driver ${driver} answered nothing for the claim`);
      if (answer.error) throw new Error(answer.error);
      return answer;
    } finally {
      connection.close();
    }
  }

  return {
    health,
    handler: {
      async register({ name, endpoint, supportedVersions }) {
        const version = versions.find((each) => supportedVersions.includes(`${each}.DRAPlugin`));
        if (!version)
          throw new Error(
            `none of the gRPC services ${versions.map((each) => `${each}.DRAPlugin`).join(", ")} is supported by the DRA driver ${name}`,
          );
        drivers.set(name, { socketPath: endpoint, version });
        health.follow(name, endpoint);
        log.info({ driver: name, version }, "a driver of dynamic resources is there");
      },
      async deregister({ name }) {
        drivers.delete(name);
        health.forget(name);
      },
    },
    prepare: async (driver, claim) => (await ask("prepare", driver, claim)).devices ?? [],
    async unprepare(driver, claim) {
      await ask("unprepare", driver, claim);
    },
  };
}
