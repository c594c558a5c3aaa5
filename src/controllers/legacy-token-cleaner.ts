/**
 * ServiceAccount tokens in Secrets that were made by themselves, as Kubernetes did until 1.24, and that nobody has used
 * for a year: first they are marked as no longer good, after another year they go.
 * https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#legacy-serviceaccount-token-cleaner
 */
import {
  configMaps,
  type corev1,
  dayMs,
  dayOf,
  invalidSinceLabel,
  isStatus,
  lastUsedLabel,
  parseTime,
  pods,
  secretNamesOf,
  secrets,
  serviceAccounts,
  serviceAccountTokenType,
  tokenTracking,
} from "#api";
import { after, defineController, readVerbs, rule } from "./kit/define-controller.ts";

const dayLengthMs = 24 * 3600_000;
/** Upstream's `--legacy-service-account-token-clean-up-period`. */
const unusedMaxMs = 365 * dayLengthMs;
const lookAgainMs = dayLengthMs;
const nameAnnotation = "kubernetes.io/service-account.name";
const uidAnnotation = "kubernetes.io/service-account.uid";

interface State {
  secret: Readonly<corev1.Secret>;
  /** Absent: uses are not noted yet. */
  trackedSince: string | undefined;
  /** Its account names it: nobody made it by hand. */
  isAutomatic: boolean;
  isMounted: boolean;
}

type Plan = { kind: "wait" } | { kind: "mark"; day: string } | { kind: "remove" };

function names(pod: Readonly<corev1.Pod>, secret: string): boolean {
  return [...secretNamesOf(pod)].includes(secret);
}

export function decide(
  { secret, trackedSince, isAutomatic, isMounted }: Readonly<State>,
  nowMs: number,
): Plan {
  const wait: Plan = { kind: "wait" };
  const { creationTimestamp, deletionTimestamp, labels = {} } = secret.metadata;
  const sinceMs = dayMs(trackedSince);
  // Of the day on which tracking began only a part was seen.
  if (sinceMs === undefined || nowMs < sinceMs + dayLengthMs + unusedMaxMs) return wait;
  const keptFromMs = nowMs - unusedMaxMs;
  if (deletionTimestamp || !((parseTime(creationTimestamp) ?? nowMs) < keptFromMs)) return wait;
  const keptFrom = dayOf(keptFromMs);
  const used = labels[lastUsedLabel];
  if (used !== undefined && (dayMs(used) === undefined || used >= keptFrom)) return wait;
  if (!isAutomatic || isMounted) return wait;
  const invalidSince = labels[invalidSinceLabel];
  if (dayMs(invalidSince) === undefined) return { kind: "mark", day: dayOf(nowMs) };
  return invalidSince! >= keptFrom ? wait : { kind: "remove" };
}

export const legacyTokenCleanerController = defineController<State, Plan>({
  name: "legacy-serviceaccount-token-cleaner-controller",
  primary: secrets,
  concurrency: 1,
  rules: [
    rule("", ["secrets"], [...readVerbs, "delete", "patch"]),
    rule("", ["pods", "serviceaccounts", "configmaps"], readVerbs),
  ],
  prepare: ({ informers }) => void informers.of(pods),
  observe({ informers }, key) {
    const secret = informers.of(secrets).byKey(key);
    if (secret?.type !== serviceAccountTokenType) return undefined;
    const { namespace, name, annotations } = secret.metadata;
    const account = informers.of(serviceAccounts).get(namespace, annotations?.[nameAnnotation] ?? "");
    const uid = annotations?.[uidAnnotation];
    const isItsOwn = account !== undefined && (!uid || uid === account.metadata.uid);
    return {
      secret,
      trackedSince: informers.of(configMaps).get(tokenTracking.namespace, tokenTracking.name)?.data?.since,
      isAutomatic: isItsOwn && (account.secrets ?? []).some((each) => each.name === name),
      // Asked once a day for the few of this type: an index would be paid for by every change of a pod.
      isMounted: informers
        .of(pods)
        .list(namespace)
        .some((pod) => names(pod, name)),
    };
  },
  decide,
  async act(plan, { client }, { secret: { metadata } }) {
    const { uid, resourceVersion } = metadata;
    try {
      if (plan.kind === "mark")
        await client.patch(
          secrets,
          metadata,
          "merge",
          { metadata: { uid, labels: { [invalidSinceLabel]: plan.day } } },
          { ignoresAnswer: true },
        );
      if (plan.kind === "remove")
        await client.delete(secrets, metadata, { preconditions: { resourceVersion } });
    } catch (error) {
      // It has changed or gone meanwhile: perhaps it was used.
      if (!isStatus(error, "NotFound") && !isStatus(error, "Conflict")) throw error;
    }
    return after(lookAgainMs);
  },
});
