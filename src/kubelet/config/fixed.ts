/**
 * Upstream's fields that nobody changes here, with what is in effect: Knarr decides these itself, or has no such part. The
 * room's README says why of each.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
import { isDeepStrictEqual } from "node:util";

/** What has no value of its own here is not shown. */
const nothing = undefined;

/** How this node is made. */
const made = {
  cgroupDriver: "cgroupfs",
  cgroupRoot: nothing,
  cgroupsPerQOS: true,
  imageServiceEndpoint: nothing,
  contentType: "application/json",
  enableControllerAttachDetach: true,
  kubeletCgroups: nothing,
  kubeReservedCgroup: nothing,
  podCIDR: nothing,
  podLogsDir: nothing,
  systemCgroups: nothing,
  systemReservedCgroup: nothing,
  volumePluginDir: nothing,
};

/** The cluster's certificates, and how long they are good for, are the distribution's. */
const certificates = { rotateCertificates: true, serverTLSBootstrap: false };

/** Of a proxy that writes iptables, and of a bridge that the runtime of old made. */
const network = {
  hairpinMode: "hairpin-veth",
  iptablesDropBit: nothing,
  iptablesMasqueradeBit: nothing,
  makeIPTablesUtilChains: false,
};

/** Of a process in Go. */
const process = {
  enableContentionProfiling: false,
  enableDebugFlagsHandler: false,
  enableProfilingHandler: false,
  kernelMemcgNotification: false,
  showHiddenMetricsForVersion: nothing,
  tracing: nothing,
};

/** Behind gates that are off in 1.36. */
const alpha = {
  imagePullServiceAccountTokenAttribution: nothing,
  memoryReservationPolicy: "None",
  memoryThrottlingFactor: nothing,
  qosReserved: nothing,
};

/** What nobody can have here: a journal to query, a kubelet that ends by itself, curves in an order of one's own. */
const refused = { enableSystemLogQuery: false, runOnce: false, tlsCurvePreferences: nothing };

export const fixedFields: Readonly<Record<string, unknown>> = {
  ...made,
  ...certificates,
  ...network,
  ...process,
  ...alpha,
  ...refused,
};

const isEmpty = (value: unknown) => [null, "", 0, "0s"].includes(value as never);

/** Whether a file asks for something else than there is. */
export function isOther(name: string, value: unknown): boolean {
  return !isEmpty(value) && !isDeepStrictEqual(value, fixedFields[name]);
}
