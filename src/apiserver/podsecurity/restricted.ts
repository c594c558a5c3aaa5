/**
 * What the level "restricted" asks for beside the baseline.
 * https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
 */
import { isSafeSeccomp, procMount, seccompProfile } from "./baseline.ts";
import {
  type Check,
  type CheckedPod,
  type Container,
  containersOf,
  hasUserNamespace,
  isWindows,
  named,
  quoted,
  setters,
  sorted,
  type Violation,
} from "./check.ts";

const volumeTypes = [
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "image",
  "persistentVolumeClaim",
  "projected",
  "secret",
] as const;

function allowPrivilegeEscalation(pod: CheckedPod): Violation | undefined {
  const bad = containersOf(pod).filter(
    ({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false,
  );
  if (bad.length === 0 || isWindows(pod)) return undefined;
  return {
    reason: "allowPrivilegeEscalation != false",
    detail: `${named(bad)} must set securityContext.allowPrivilegeEscalation=false`,
  };
}

function capabilities(pod: CheckedPod): Violation | undefined {
  if (isWindows(pod)) return undefined;
  const added = ({ securityContext }: Container) =>
    (securityContext?.capabilities?.add ?? []).filter((name) => name !== "NET_BIND_SERVICE");
  const all = containersOf(pod);
  const keeping = all.filter(({ securityContext }) => !securityContext?.capabilities?.drop?.includes("ALL"));
  const adding = all.filter((container) => added(container).length > 0);
  const details = [
    ...(keeping.length > 0 ? [`${named(keeping)} must set securityContext.capabilities.drop=["ALL"]`] : []),
    ...(adding.length > 0
      ? [
          `${named(adding)} must not include ${quoted(sorted(adding.flatMap(added)))} in securityContext.capabilities.add`,
        ]
      : []),
  ];
  return details.length > 0 ? { reason: "unrestricted capabilities", detail: details.join("; ") } : undefined;
}

function restrictedVolumes({ spec }: CheckedPod): Violation | undefined {
  const names = sorted(
    (spec.volumes ?? [])
      .filter((volume) => !volumeTypes.some((type) => volume[type] !== undefined))
      .map(({ name }) => name),
  );
  if (names.length === 0) return undefined;
  const listed = names.map((name) => `"${name}"`).join(" ");
  return { reason: "restricted volume types", detail: `volumes [${listed}] have restricted types` };
}

function runAsNonRoot(pod: CheckedPod): Violation | undefined {
  if (hasUserNamespace(pod)) return undefined;
  const reason = "runAsNonRoot != true";
  const own = pod.spec.securityContext?.runAsNonRoot;
  const all = containersOf(pod);
  const who = setters(
    own === false,
    all.filter(({ securityContext }) => securityContext?.runAsNonRoot === false),
  );
  if (who) return { reason, detail: `${who} must not set securityContext.runAsNonRoot=false` };
  const silent = all.filter(({ securityContext }) => securityContext?.runAsNonRoot === undefined);
  if (own || silent.length === 0) return undefined;
  return { reason, detail: `pod or ${named(silent)} must set securityContext.runAsNonRoot=true` };
}

function runAsUser(pod: CheckedPod): Violation | undefined {
  if (hasUserNamespace(pod)) return undefined;
  const bad = containersOf(pod).filter(({ securityContext }) => securityContext?.runAsUser === 0);
  const who = setters(pod.spec.securityContext?.runAsUser === 0, bad);
  return who ? { reason: "runAsUser=0", detail: `${who} must not set runAsUser=0` } : undefined;
}

function neededSeccompProfile(pod: CheckedPod): Violation | undefined {
  if (isWindows(pod)) return undefined;
  const forbidden = seccompProfile(pod);
  if (forbidden || isSafeSeccomp(pod.spec.securityContext)) return forbidden;
  const silent = containersOf(pod).filter(({ securityContext }) => !securityContext?.seccompProfile);
  if (silent.length === 0) return undefined;
  const types = quoted(["RuntimeDefault"]);
  return {
    reason: "seccompProfile",
    detail: `pod or ${named(silent)} must set securityContext.seccompProfile.type to ${types} or "Localhost"`,
  };
}

export const restrictedChecks: readonly Check[] = [
  { since: 8, find: allowPrivilegeEscalation },
  { since: 22, find: capabilities },
  { since: 35, find: (pod) => (hasUserNamespace(pod) ? procMount(pod) : undefined) },
  { since: 0, find: restrictedVolumes },
  { since: 0, find: runAsNonRoot },
  { since: 23, find: runAsUser },
  { since: 19, find: neededSeccompProfile },
];
