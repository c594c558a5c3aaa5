/**
 * Fills Secrets that ask for the token of a ServiceAccount, and removes those whose account has gone. The token is
 * bound to its Secret: it is good as long as that is there.
 * https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets
 */
import { type corev1, isStatus, secrets, serviceAccounts, serviceAccountTokenType } from "#api";
import type { Client } from "#client";
import { defineController, done, type Outcome, readVerbs, rule, source } from "./kit/define-controller.ts";

type Secret = Readonly<corev1.Secret>;

const nameAnnotation = "kubernetes.io/service-account.name";
const uidAnnotation = "kubernetes.io/service-account.uid";
/** The longest that may be asked for: such tokens are not to expire by themselves. */
const expirationSeconds = 2 ** 32;

interface State {
  secret: Secret;
  account: Readonly<corev1.ServiceAccount> | undefined;
  rootCa: string | undefined;
}

interface Plan {
  /** Else it is filled. */
  remove: boolean;
  data: Record<string, string>;
  needsToken: boolean;
}

const base64 = (text: string) => Buffer.from(text).toString("base64");

function decide({ secret, account, rootCa }: Readonly<State>): Plan | undefined {
  if (secret.metadata.deletionTimestamp) return undefined;
  const uid = secret.metadata.annotations?.[uidAnnotation];
  const data: Record<string, string> = {};
  if (!account || (uid && uid !== account.metadata.uid)) return { remove: true, data, needsToken: false };
  if (rootCa && secret.data?.["ca.crt"] !== base64(rootCa)) data["ca.crt"] = base64(rootCa);
  const namespace = base64(secret.metadata.namespace ?? "");
  if (secret.data?.namespace !== namespace) data.namespace = namespace;
  const needsToken = !secret.data?.token;
  const isFull = !needsToken && uid !== undefined && Object.keys(data).length === 0;
  return isFull ? undefined : { remove: false, data, needsToken };
}

export const serviceAccountTokenController = defineController<State, Plan>({
  name: "serviceaccount-token-controller",
  primary: secrets,
  secondaries: [
    source(serviceAccounts, ({ metadata }, { informers }) =>
      informers
        .of(secrets)
        .list(metadata.namespace)
        .filter(
          (each) =>
            each.type === serviceAccountTokenType &&
            each.metadata.annotations?.[nameAnnotation] === metadata.name,
        )
        .map((each) => `${each.metadata.namespace}/${each.metadata.name}`),
    ),
  ],
  concurrency: 2,
  rules: [
    rule("", ["secrets"], [...readVerbs, "delete", "update"]),
    rule("", ["serviceaccounts"], readVerbs),
    rule("", ["serviceaccounts/token"], ["create"]),
  ],
  observe({ informers, options }, key) {
    const secret = informers.of(secrets).byKey(key);
    if (secret?.type !== serviceAccountTokenType) return undefined;
    const name = secret.metadata.annotations?.[nameAnnotation] ?? "";
    const account = informers.of(serviceAccounts).get(secret.metadata.namespace ?? "", name);
    return { secret, account, rootCa: options.rootCa };
  },
  decide,
  async act({ remove, data, needsToken }, { client }, { secret, account }) {
    const { name, uid } = secret.metadata;
    if (remove || !account) return removeOrphan(client, secret);
    const filled = { ...secret.data, ...data };
    if (needsToken) {
      const boundObjectRef = { apiVersion: "v1", kind: "Secret", name, uid };
      const request = {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: { boundObjectRef, expirationSeconds },
      };
      const { status } = await client.post<{ status: { token: string } }>(
        serviceAccounts,
        account.metadata,
        "token",
        request,
      );
      filled.token = base64(status.token);
    }
    const annotations = { ...secret.metadata.annotations, [uidAnnotation]: account.metadata.uid };
    await client.update(secrets, { ...secret, metadata: { ...secret.metadata, annotations }, data: filled });
    return done;
  },
});

/** Read past the cache: the account may have come a moment before its Secret. */
async function removeOrphan(client: Client, { metadata }: Secret): Promise<Outcome> {
  const { namespace, annotations, uid } = metadata;
  const ref = { namespace, name: annotations?.[nameAnnotation] ?? "" };
  const known = await unlessGone(client.get(serviceAccounts, ref));
  const wanted = annotations?.[uidAnnotation];
  if (known && (!wanted || wanted === known.metadata.uid))
    return { kind: "retry", why: "the account is new" };
  await unlessGone(client.delete(secrets, metadata, { preconditions: { uid } }));
  return done;
}

async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isStatus(error, "NotFound")) return undefined;
    throw error;
  }
}
