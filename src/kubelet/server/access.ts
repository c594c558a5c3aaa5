/**
 * Who may use the kubelet's server, and for what: client certificates and bearer tokens say who asks, the API server
 * says whether they may. Its own requests it has authorized itself.
 * https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/
 */
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { type authenticationv1, type authorizationv1, subjectAccessReviews, tokenReviews } from "#api";
import { messageOf, type World } from "#base";
import type { Client } from "#client";
import type { ServerSettings } from "../config/settings.ts";
import { HttpError } from "./request.ts";

export interface ClientIdentity {
  user: string;
  uid?: string;
  groups: readonly string[];
  extra?: Record<string, string[]>;
}

/** What a request asks of the API object that stands for this node. */
export interface NodeAttributes {
  verb: string;
  /** Any of them is enough: the finer ones first. */
  subresources: readonly string[];
}

const verbs: Record<string, string> = {
  GET: "get",
  HEAD: "head",
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/** The first part of a path, and the subresources of `nodes` that stand for it before `proxy`. */
const finer: Record<string, readonly string[]> = {
  pods: ["pods", "proxy"],
  runningpods: ["pods", "proxy"],
  healthz: ["healthz", "proxy"],
  configz: ["configz", "proxy"],
  stats: ["stats"],
  metrics: ["metrics"],
  logs: ["log"],
  checkpoint: ["checkpoint"],
};

export function attributesOf(method: string | undefined, path: string): NodeAttributes {
  const subresources = finer[path.split("/")[1] ?? ""] ?? ["proxy"];
  return { verb: verbs[method ?? ""] ?? "", subresources };
}

/** The name and the organizations of a client's certificate; undefined without a verified one. */
function certificateIdentity(socket: TLSSocket): ClientIdentity | undefined {
  if (!socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  if (!subject) return undefined;
  const list = (value: string | string[] | undefined) =>
    value === undefined ? [] : Array.isArray(value) ? value : [value];
  return { user: list(subject.CN)[0] ?? "", groups: [...list(subject.O), "system:authenticated"] };
}

/** The API server asks for others whom it has let through; administrators may do everything. */
const apiServerUsers = ["kube-apiserver-kubelet-client", "kube-apiserver", "system:kube-apiserver"];

function isKnown({ user, groups }: ClientIdentity): boolean {
  return apiServerUsers.includes(user) || groups.includes("system:masters");
}

const entriesMax = 1024;

class Answers<V> {
  readonly #entries = new Map<string, { value: V; untilMs: number }>();

  get(key: string, nowMs: number): V | undefined {
    const entry = this.#entries.get(key);
    return entry && entry.untilMs > nowMs ? entry.value : undefined;
  }

  set(key: string, value: V, untilMs: number): void {
    // The oldest goes: nobody can make this grow by asking.
    if (this.#entries.size >= entriesMax) this.#entries.delete(this.#entries.keys().next().value!);
    this.#entries.set(key, { value, untilMs });
  }
}

export interface Access {
  /** Throws `HttpError` 401 or 403. */
  check(request: IncomingMessage, socket: TLSSocket, path: string): Promise<void>;
}

export interface AccessOptions {
  client: Client;
  world: World;
  nodeName: string;
  settings: Pick<ServerSettings, "authentication" | "authorization">;
}

/** Who shows nothing at all, where such may come. */
const nobody: ClientIdentity = { user: "system:anonymous", groups: ["system:unauthenticated"] };

export function createAccess({ client, world, nodeName, settings }: AccessOptions): Access {
  const { anonymous, tokens: takesTokens, tokenMs } = settings.authentication;
  const { mode, allowedMs, deniedMs } = settings.authorization;
  const tokens = new Answers<ClientIdentity | false>();
  const verdicts = new Answers<boolean>();
  const { clock, log } = world;

  async function tokenIdentity(token: string): Promise<ClientIdentity | undefined> {
    const known = tokens.get(token, clock.monotonic());
    if (known !== undefined) return known || undefined;
    const review = await client.create(tokenReviews, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token },
    } as authenticationv1.TokenReview);
    const user = review.status?.authenticated ? review.status.user : undefined;
    const identity = user && {
      user: user.username ?? "",
      ...(user.uid ? { uid: user.uid } : {}),
      groups: user.groups ?? [],
      ...(user.extra ? { extra: user.extra } : {}),
    };
    tokens.set(token, identity ?? false, clock.monotonic() + tokenMs);
    return identity;
  }

  async function isAllowed(identity: ClientIdentity, verb: string, subresource: string): Promise<boolean> {
    const key = JSON.stringify([identity, verb, subresource]);
    const known = verdicts.get(key, clock.monotonic());
    if (known !== undefined) return known;
    const review = await client.create(subjectAccessReviews, {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: {
        ...identity,
        groups: [...identity.groups],
        resourceAttributes: { verb, version: "v1", resource: "nodes", subresource, name: nodeName },
      },
    } as authorizationv1.SubjectAccessReview);
    const allowed = review.status?.allowed ?? false;
    verdicts.set(key, allowed, clock.monotonic() + (allowed ? allowedMs : deniedMs));
    return allowed;
  }

  async function identityOf(
    request: IncomingMessage,
    socket: TLSSocket,
  ): Promise<ClientIdentity | undefined> {
    const byCertificate = certificateIdentity(socket);
    const token = /^bearer (\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (byCertificate) return byCertificate;
    if (token && takesTokens) return tokenIdentity(token);
    return anonymous ? nobody : undefined;
  }

  /** Whoever cannot be judged is refused. */
  async function judged<T>(question: Promise<T>): Promise<T> {
    try {
      return await question;
    } catch (error) {
      log.warn({ error: messageOf(error) }, "the API server could not be asked about a request");
      throw new HttpError(500, `Internal Error: ${messageOf(error)}`);
    }
  }

  return {
    async check(request, socket, path) {
      const identity = await judged(identityOf(request, socket));
      if (!identity) throw new HttpError(401, "Unauthorized");
      if (mode === "AlwaysAllow" || isKnown(identity)) return;
      const { verb, subresources } = attributesOf(request.method, path);
      for (const subresource of subresources)
        if (await judged(isAllowed(identity, verb, subresource))) return;
      const words = `user=${identity.user}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(" ")}]`;
      throw new HttpError(403, `Forbidden (${words})`);
    },
  };
}
