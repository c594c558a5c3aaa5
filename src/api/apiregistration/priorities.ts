/** In which order groups are offered: clients that know only a short name take the first. */

const priorities: Readonly<Record<string, number>> = {
  "": 18_000,
  "apiregistration.k8s.io": 18_000,
  apps: 17_800,
  "events.k8s.io": 17_750,
  "authentication.k8s.io": 17_700,
  "authorization.k8s.io": 17_600,
  autoscaling: 17_500,
  batch: 17_400,
  "certificates.k8s.io": 17_300,
  "networking.k8s.io": 17_200,
  policy: 17_100,
  "rbac.authorization.k8s.io": 17_000,
  "storage.k8s.io": 16_800,
  "admissionregistration.k8s.io": 16_700,
  "apiextensions.k8s.io": 16_700,
  "scheduling.k8s.io": 16_600,
  "coordination.k8s.io": 16_500,
  "node.k8s.io": 16_300,
  "discovery.k8s.io": 16_200,
  "flowcontrol.apiserver.k8s.io": 16_100,
  "internal.apiserver.k8s.io": 16_000,
  "resource.k8s.io": 15_900,
  "storagemigration.k8s.io": 15_800,
};

/** Of custom resources and whatever else has no place of its own. */
const otherPriority = 1000;

export function groupPriorityOf(group: string): number {
  return Object.hasOwn(priorities, group) ? priorities[group]! : otherPriority;
}

/** Stable versions before betas before alphas. */
export function versionPriorityOf(group: string, version: string): number {
  if (group === "") return 1;
  if (groupPriorityOf(group) === otherPriority) return 100;
  const [, major = "1", stage = "", minor = "0"] = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version) ?? [];
  const within = stage === "" ? 15 * Number(major) : (stage === "beta" ? 9 : 1) + Number(minor) - 1;
  return Math.min(1000, within);
}
