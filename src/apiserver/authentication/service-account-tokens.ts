/**
 * Service account tokens: signed, bound to their account and optionally to a pod, checked against what still exists.
 * https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
 */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import {
  type authenticationv1,
  badRequest,
  conflict,
  type corev1,
  formatTime,
  invalid,
  invalidObject,
  type KubernetesObject,
  nodes,
  notFound,
  pods,
  type ResourceDefinition,
  secrets,
  serviceAccounts,
} from "#api";
import type { Registry, Target } from "../registry/context.ts";
import type { Storage } from "../registry/storage.ts";
import { accountUsername, authenticatedGroup, type User } from "../user.ts";
import { KeptTokens } from "./kept-tokens.ts";

export interface SigningKey {
  /** PEM. */
  cert: string;
  key: string;
}

const minSeconds = 600;
const maxSeconds = 2 ** 32;
const defaultSeconds = 3600;

interface Reference {
  name: string;
  uid: string;
}

interface KubernetesClaims {
  namespace: string;
  serviceaccount: Reference;
  pod?: Reference;
  secret?: Reference;
  node?: Reference;
}

type TokenRequest = authenticationv1.TokenRequest & KubernetesObject;

const bindable: Readonly<
  Record<string, { definition: ResourceDefinition; claim: "pod" | "secret" | "node" }>
> = {
  "v1/Pod": { definition: pods as ResourceDefinition, claim: "pod" },
  "v1/Secret": { definition: secrets as ResourceDefinition, claim: "secret" },
  "v1/Node": { definition: nodes as ResourceDefinition, claim: "node" },
};

export class TokenIssuer {
  readonly #storage: Storage;
  /** Also the audience of tokens for this server. */
  readonly issuer: string;
  readonly #pem: SigningKey;
  readonly #kept: KeptTokens;
  #keys: { sign: KeyObject; verify: KeyObject; algorithm: string } | undefined;

  constructor(storage: Storage, issuer: string, pem: SigningKey, registry: () => Registry) {
    this.#storage = storage;
    this.issuer = issuer;
    this.#pem = pem;
    this.#kept = new KeptTokens(registry);
  }

  /** The answer to a TokenRequest for one account. */
  async issue(target: Target, body: KubernetesObject): Promise<TokenRequest> {
    const request = body as TokenRequest;
    const account = this.#storage.get(target.definition, target.namespace, target.name).parse();
    const namespace = target.namespace!;
    const seconds = request.spec?.expirationSeconds ?? defaultSeconds;
    validateSeconds(seconds);
    const claims: KubernetesClaims = {
      namespace,
      serviceaccount: referenceTo(account),
      ...this.#bound(request, namespace, target.name),
    };
    const { random, clock } = this.#storage.world;
    const audiences = request.spec?.audiences?.length ? request.spec.audiences : [this.issuer];
    const now = Math.floor(clock.now() / 1000);
    const { sign, algorithm } = this.#keyPair();
    const { SignJWT } = await import("jose");
    const token = await new SignJWT({ "kubernetes.io": claims })
      .setProtectedHeader({ alg: algorithm })
      .setIssuer(this.issuer)
      .setSubject(accountUsername(namespace, target.name))
      .setAudience(audiences)
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + seconds)
      .setJti(random.uuid())
      .sign(sign);
    const expirationTimestamp = formatTime((now + seconds) * 1000);
    const metadata = {
      name: target.name,
      namespace,
      uid: "",
      resourceVersion: "",
      creationTimestamp: formatTime(now * 1000),
    };
    const spec = { ...request.spec, audiences, expirationSeconds: seconds };
    return {
      kind: "TokenRequest",
      apiVersion: "authentication.k8s.io/v1",
      metadata,
      spec,
      status: { token, expirationTimestamp },
    };
  }

  /** Undefined for a token that is not good (any more), or for others than these audiences. */
  async verify(
    token: string,
    audiences: readonly string[],
  ): Promise<{ user: User; audiences: string[] } | undefined> {
    const { verify, algorithm } = this.#keyPair();
    const { jwtVerify } = await import("jose");
    const verified = await jwtVerify(token, verify, {
      issuer: this.issuer,
      audience: [...audiences],
      algorithms: [algorithm],
      currentDate: new Date(this.#storage.world.clock.now()),
    }).catch(() => undefined);
    const claims = verified?.payload["kubernetes.io"] as KubernetesClaims | undefined;
    if (!verified || !claims?.serviceaccount || !this.#stillExists(claims)) return undefined;
    if (isForEver(verified.payload) && !this.#isKept(claims, token)) return undefined;
    const meant = [verified.payload.aud ?? []].flat();
    return {
      user: userOf(claims, verified.payload.jti),
      audiences: audiences.filter((each) => meant.includes(each)),
    };
  }

  /** What others need to check our tokens: `/openid/v1/jwks`. */
  async keySet(): Promise<Record<string, unknown>> {
    const { verify, algorithm } = this.#keyPair();
    const { exportJWK } = await import("jose");
    return { keys: [{ use: "sig", alg: algorithm, ...(await exportJWK(verify)) }] };
  }

  /** `/.well-known/openid-configuration` */
  discovery(): Record<string, unknown> {
    return {
      issuer: this.issuer,
      jwks_uri: `${this.issuer}/openid/v1/jwks`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: [this.#keyPair().algorithm],
    };
  }

  #bound(request: TokenRequest, namespace: string, account: string): Partial<KubernetesClaims> {
    const wanted = request.spec?.boundObjectRef;
    if (!wanted) return {};
    const found = bindable[`${wanted.apiVersion}/${wanted.kind}`];
    if (!found) {
      const error = invalid(
        "spec.boundObjectRef",
        wanted.kind ?? "",
        "cannot bind token for serviceaccount to this kind of object",
      );
      throw invalidObject({ group: "authentication.k8s.io", kind: "TokenRequest" }, "", [error]);
    }
    const { definition, claim } = found;
    const object = this.#find(definition, namespace, wanted.name ?? "");
    if (!object) throw notFound(definition, wanted.name ?? "");
    if (wanted.uid && wanted.uid !== object.metadata.uid) {
      const why = `the UID in the bound object reference (${wanted.uid}) does not match the UID in record. The object might have been deleted and then recreated`;
      throw conflict(definition, object.metadata.name, why);
    }
    if (claim === "pod" && (object as corev1.Pod).spec.serviceAccountName !== account) {
      const why = `cannot bind token for serviceaccount ${JSON.stringify(account)} to pod running with different serviceaccount name.`;
      throw badRequest(why);
    }
    return { [claim]: referenceTo(object), ...(claim === "pod" ? this.#nodeOf(object as corev1.Pod) : {}) };
  }

  /** Tokens of pods say where they are. */
  #nodeOf({ spec }: Readonly<corev1.Pod>): Pick<KubernetesClaims, "node"> {
    if (!spec.nodeName) return {};
    const node = this.#find(nodes as ResourceDefinition, "", spec.nodeName);
    return { node: node ? referenceTo(node) : { name: spec.nodeName, uid: "" } };
  }

  #find(definition: ResourceDefinition, namespace: string, name: string): KubernetesObject | undefined {
    return this.#storage.find(definition, definition.namespaced ? namespace : undefined, name)?.parse();
  }

  #stillExists(claims: KubernetesClaims): boolean {
    const isThere = (definition: ResourceDefinition, reference: Reference | undefined) =>
      !reference || this.#find(definition, claims.namespace, reference.name)?.metadata.uid === reference.uid;
    return (
      isThere(serviceAccounts as ResourceDefinition, claims.serviceaccount) &&
      isThere(pods as ResourceDefinition, claims.pod) &&
      isThere(secrets as ResourceDefinition, claims.secret) &&
      // Of a pod's token it is only where the pod is.
      (claims.pod !== undefined || isThere(nodes as ResourceDefinition, claims.node))
    );
  }

  /** Those that a Secret was filled with: others that are bound to one stand nowhere. */
  #isKept({ namespace, secret }: KubernetesClaims, token: string): boolean {
    if (!secret) return true;
    const found = this.#storage.find(secrets as ResourceDefinition, namespace, secret.name)?.parse();
    return found !== undefined && this.#kept.isGood(found as corev1.Secret, token);
  }

  #keyPair(): { sign: KeyObject; verify: KeyObject; algorithm: string } {
    if (!this.#keys) {
      const sign = createPrivateKey(this.#pem.key);
      const algorithm = sign.asymmetricKeyType === "ec" ? "ES256" : "RS256";
      this.#keys = { sign, verify: createPublicKey(sign), algorithm };
    }
    return this.#keys;
  }
}

/** What else is known of a token's user. */
function extraOf(kind: "pod" | "node", reference: Reference | undefined): Record<string, string[]> {
  if (!reference) return {};
  const prefix = `authentication.kubernetes.io/${kind}`;
  return {
    [`${prefix}-name`]: [reference.name],
    ...(reference.uid ? { [`${prefix}-uid`]: [reference.uid] } : {}),
  };
}

function userOf({ namespace, serviceaccount, pod, node }: KubernetesClaims, id: string | undefined): User {
  return {
    username: accountUsername(namespace, serviceaccount.name),
    uid: serviceaccount.uid,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, authenticatedGroup],
    extra: {
      "authentication.kubernetes.io/credential-id": [`JTI=${id}`],
      ...extraOf("pod", pod),
      ...extraOf("node", node),
    },
  };
}

function isForEver({ iat = 0, exp = 0 }: { iat?: number; exp?: number }): boolean {
  return exp - iat >= maxSeconds;
}

function referenceTo(object: KubernetesObject): Reference {
  return { name: object.metadata.name, uid: object.metadata.uid };
}

function validateSeconds(seconds: number): void {
  const field = "spec.expirationSeconds";
  const kind = { group: "authentication.k8s.io", kind: "TokenRequest" };
  if (seconds < minSeconds) {
    throw invalidObject(kind, "", [
      invalid(field, seconds, "may not specify a duration less than 10 minutes"),
    ]);
  }
  if (seconds > maxSeconds) {
    throw invalidObject(kind, "", [
      invalid(field, seconds, "may not specify a duration larger than 2^32 seconds"),
    ]);
  }
}
