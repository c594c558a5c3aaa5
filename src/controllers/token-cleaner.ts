/** Removes bootstrap tokens that have expired. https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/#token-management-with-the-controller-manager */
import { type corev1, isStatus, parseTime, secrets } from "#api";
import { after, defineController, done, readVerbs, rule } from "./kit/define-controller.ts";

const namespace = "kube-system";
const tokenType = "bootstrap.kubernetes.io/token";
/** A timer of days would be no timer. */
const longestWaitMs = 3_600_000;

/** Undefined for one that never expires; one whose time cannot be read is expired. */
function expiryMs({ data }: Readonly<corev1.Secret>): number | undefined {
  if (data?.expiration === undefined) return undefined;
  return parseTime(Buffer.from(data.expiration, "base64").toString()) ?? 0;
}

export const tokenCleanerController = defineController<Readonly<corev1.Secret>, { waitMs: number }>({
  name: "token-cleaner",
  primary: secrets,
  concurrency: 1,
  rules: [rule("", ["secrets"], [...readVerbs, "delete"])],
  observe({ informers }, key) {
    const secret = informers.of(secrets).byKey(key);
    return secret?.type === tokenType && secret.metadata.namespace === namespace ? secret : undefined;
  },
  decide(secret, nowMs) {
    const atMs = expiryMs(secret);
    return atMs === undefined ? undefined : { waitMs: atMs - nowMs };
  },
  async act({ waitMs }, { client }, { metadata }) {
    if (waitMs > 0) return after(Math.min(longestWaitMs, waitMs));
    try {
      await client.delete(secrets, metadata, { preconditions: { uid: metadata.uid } });
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
    }
    return done;
  },
});
