/** `startApiServer`: the parts of the API server, put together. */

import { forComponent, type World } from "#base";
import { deepFreeze, type Transport } from "#client";
import type { Store } from "#store";
import { Admission } from "./admission/admission.ts";
import type { PortRange } from "./admission/service-allocation.ts";
import { admissionSteps } from "./admission/steps.ts";
import { Aggregator } from "./aggregator/aggregator.ts";
import type { FrontProxy } from "./aggregator/proxy.ts";
import { Authenticator, type StaticToken } from "./authentication/authenticator.ts";
import { type SigningKey, TokenIssuer } from "./authentication/service-account-tokens.ts";
import { firstToAllow, privilegedUsers } from "./authorization/authorizer.ts";
import { NodeAuthorizer } from "./authorization/node.ts";
import type { ComponentPolicy } from "./authorization/policy/install.ts";
import { RbacAuthorizer } from "./authorization/rbac.ts";
import { CustomResources } from "./customresources/controller.ts";
import { expireEvents } from "./event-expiry.ts";
import { followFlowSchemas } from "./flow-control/dangling.ts";
import { FlowControl } from "./flow-control/flow-control.ts";
import { Documents } from "./http/documents.ts";
import type { Extension } from "./http/extensions.ts";
import { type Front, type FrontOptions, openFront } from "./http/front.ts";
import { inProcessTransport } from "./http/in-process.ts";
import { Pipeline } from "./http/pipeline.ts";
import { appear, type Presence } from "./presence.ts";
import { NodeProxy } from "./proxy/node-proxy.ts";
import { ResourceProxy } from "./proxy/resource-proxy.ts";
import type { Registry } from "./registry/context.ts";
import { Storage } from "./registry/storage.ts";
import { authenticatedGroup, type User } from "./user.ts";
import { WebhookClient } from "./webhooks/webhook-client.ts";

export interface ApiServerOptions {
  world: World;
  store: Store;
  /** PEM. */
  tls: { cert: string; key: string };
  /** PEM of the authority whose client certificates are good. */
  clientCa: string;
  /** Absent: no sockets, reached in this process only. Port 0 takes any. */
  listen?: { host: string; port: number };
  /** One of each family; the first one's is the default. */
  serviceCidrs: readonly string[];
  nodePortRange: PortRange;
  /** Where nodes and pods reach this server. */
  advertiseAddress: string;
  /** Signs service account tokens. */
  serviceAccountKey: SigningKey;
  issuer: string;
  tokens: readonly StaticToken[];
  /** How this server proves to kubelets who it is, and how it knows them. */
  kubeletClient: { cert: string; key: string; ca: string };
  /** What this server shows to those it aggregates, and how they know it. Absent: nobody is told who asks. */
  frontProxy?: FrontProxy;
  /** Components that act as service accounts of kube-system, and the rules they run under. */
  components?: readonly ComponentPolicy[];
  /** History older than this, and at most twice this, is forgotten; five minutes without. */
  compactEveryMs?: number;
  /** Further paths behind the same authentication. */
  extensions?: readonly Extension[];
  /** Objects that requests share are frozen deep: use it in tests. */
  freeze?: boolean;
}

export interface ApiServer {
  /** 0 without sockets. */
  readonly port: number;
  readonly url: string;
  /** The same checks as over a socket, without one. */
  transport(user: User): Transport;
  stop(): Promise<void>;
}

const compactEveryMs = 5 * 60_000;

export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { store } = options;
  const world = forComponent(options.world, "apiserver");
  const storage = await Storage.open(world, store, options.freeze ? { guard: deepFreeze } : {});
  const rbac = new RbacAuthorizer(storage);
  const authorizer = firstToAllow(privilegedUsers, new NodeAuthorizer(storage), rbac);
  const webhooks = new WebhookClient(storage);
  const steps = admissionSteps({
    storage,
    rbac,
    authorizer,
    webhooks,
    services: options,
    registry: () => registry,
  });
  const registry: Registry = { world, storage, admission: new Admission(steps) };
  const aggregator = new Aggregator(registry, options.frontProxy);
  const tokens = new TokenIssuer(storage, options.issuer, options.serviceAccountKey, () => registry);
  const nodes = new NodeProxy(storage, options.kubeletClient);
  const proxy = new ResourceProxy(storage, options.kubeletClient);
  const pipeline = new Pipeline({
    registry,
    flowControl: new FlowControl(storage, world),
    tokens,
    authenticator: new Authenticator(options.tokens, tokens),
    authorizer,
    documents: new Documents(
      `${options.advertiseAddress}:${options.listen?.port ?? 0}`,
      storage.resources,
      aggregator,
    ),
    aggregator,
    extensions: options.extensions ?? [],
    passThrough: (call) => nodes.stream(call) ?? proxy.pass(call),
  });
  const customResources = new CustomResources(registry, webhooks);
  const timers = [
    compactRegularly(world, store, options.compactEveryMs ?? compactEveryMs),
    expireEvents(storage),
    followFlowSchemas(registry),
  ];
  let front: Front | undefined;
  let presence: Presence | undefined;
  const stop = async () => {
    for (const timer of timers) timer.cancel();
    await presence?.end();
    pipeline.close();
    nodes.close();
    proxy.close();
    aggregator.stop();
    customResources.stop();
    webhooks.close();
    await front?.close();
    storage.close();
  };
  try {
    const upgrade: FrontOptions["upgrade"] = async (request, message, socket, head) => {
      await pipeline.admitConnect(request);
      if (await aggregator.upgrade(request, socket, head)) return;
      if (await proxy.upgrade(request, socket, head)) return;
      await nodes.upgrade(request, message, socket, head);
    };
    await customResources.start();
    front = options.listen && (await listen(options, options.listen, pipeline, upgrade));
    presence = await appear(registry, options, front?.port);
    await aggregator.start();
  } catch (error) {
    await stop();
    throw error;
  }
  const port = front?.port ?? 0;
  return {
    port,
    url: front ? `https://${options.advertiseAddress}:${port}` : "",
    transport: (user) => inProcessTransport(pipeline, identified(user)),
    stop,
  };
}

function listen(
  options: ApiServerOptions,
  { host, port }: { host: string; port: number },
  pipeline: Pipeline,
  upgrade: FrontOptions["upgrade"],
): Promise<Front> {
  return openFront({
    host,
    port,
    tls: options.tls,
    clientCa: options.clientCa,
    pipeline,
    upgrade,
  });
}

/** Whoever is let in here has been authenticated by being in this process. */
function identified(user: User): User {
  return user.groups.includes(authenticatedGroup)
    ? user
    : { ...user, groups: [...user.groups, authenticatedGroup] };
}

/** Forgets what is older than one period: clients that fell behind further list again. */
function compactRegularly(world: World, store: Store, everyMs: number): { cancel(): void } {
  let previous = store.revision;
  return world.clock.every(everyMs, () => {
    const target = previous;
    previous = store.revision;
    store
      .compact(target)
      .catch((error) => world.log.warn({ err: error }, "compaction failed; it is tried again"));
  });
}
