/**
 * The ingress controller: watches what asks for routes and keeps HAProxy on this node doing it. HAProxy is started with
 * the first Ingress or Gateway and ended with the last, so that a cluster without any pays nothing.
 * https://kubernetes.io/docs/concepts/services-networking/ingress-controllers/
 */
import {
  endpointSlices,
  ingressClasses,
  ingresses,
  type KubernetesObject,
  namespaces,
  type networkingv1,
  secrets,
  services,
} from "#api";
import { forComponent, messageOf, type World } from "#base";
import { type Client, createEventRecorder, type Informer, type Informers } from "#client";
import type { GatewaySource } from "./gateway/listeners.ts";
import { GatewayStatus } from "./gateway/status.ts";
import { GatewayWatch } from "./gateway/watch.ts";
import { Haproxy, HaproxyError } from "./haproxy/haproxy.ts";
import type { Ingress, Problem } from "./kubernetes/rules.ts";
import { patchStatus } from "./patch-status.ts";
import type { Translation, Wanted } from "./translate.ts";

/** `spec.controller` of the IngressClasses that are served here. */
export const ingressController = "knarr.dev/ingress";
/** `spec.controllerName` of the GatewayClasses. */
export const gatewayController = "knarr.dev/gateway";
const classAnnotation = "kubernetes.io/ingress.class";

export interface IngressOptions {
  world: World;
  client: Client;
  informers: Informers;
  nodeName: string;
  /** Where HAProxy's files are. */
  dir: string;
  /** Told in the status of every Ingress. */
  addresses: readonly string[];
  httpPort: number;
  httpsPort: number;
  /** Chain and key for names that nobody has a certificate for; asked for once. */
  ownCertificate(): Promise<string>;
}

export interface IngressRunning {
  /** Resolves when every change seen so far is served. */
  settled(): Promise<void>;
  /** Leaves HAProxy running: the next start takes it over. */
  stop(): Promise<void>;
}

/** Changes that come within this time are one. */
const gatherMs = 10;
/** A port in use may become free, a missing program may be installed. */
const retryMs = 10_000;
/** Told problems that are remembered. */
const toldMax = 10_000;

export async function startIngress(options: IngressOptions): Promise<IngressRunning> {
  const controller = new IngressController(options);
  await controller.start();
  return controller;
}

class IngressController implements IngressRunning {
  readonly #options: IngressOptions;
  readonly #world: World;
  readonly #haproxy: Haproxy;
  readonly #recorder: ReturnType<typeof createEventRecorder>;
  readonly #classes: Informer<networkingv1.IngressClass>;
  readonly #ingresses: Informer<networkingv1.Ingress>;
  readonly #gateways: GatewayWatch;
  readonly #gatewayStatus: GatewayStatus;
  readonly #source: GatewaySource;
  readonly #off: (() => void)[] = [];
  /** Services that routes lead to, and Secrets they need: `namespace/name`. */
  #wanted = new Set<string>();
  #secretsFollowed = false;
  #namespacesFollowed = false;
  #told = new Set<string>();
  #certificate: Promise<string> | undefined;
  #serving = true;
  #dirty = false;
  #stopped = false;
  #running: Promise<void> | undefined;
  readonly #stopping = new AbortController();

  constructor(options: IngressOptions) {
    const { client, informers, nodeName, dir } = options;
    this.#options = options;
    this.#world = forComponent(options.world, "ingress");
    this.#haproxy = new Haproxy({ dir, world: options.world });
    this.#recorder = createEventRecorder({
      client,
      world: this.#world,
      component: "knarr-ingress-controller",
      host: nodeName,
    });
    this.#classes = informers.of(ingressClasses);
    this.#ingresses = informers.of(ingresses);
    const shared = { client, world: this.#world, controllerName: gatewayController };
    this.#gateways = new GatewayWatch({ ...shared, informers, touch: () => this.#touch() });
    this.#gatewayStatus = new GatewayStatus({ ...shared, addresses: options.addresses });
    this.#source = this.#openSource();
  }

  async start(): Promise<void> {
    const { informers } = this.#options;
    await Promise.all([this.#classes.waitForSync(), this.#ingresses.waitForSync()]);
    await Promise.all([informers.of(services).waitForSync(), informers.of(endpointSlices).waitForSync()]);
    this.#follow(this.#classes, () => true);
    this.#follow(this.#ingresses, () => true);
    this.#follow(informers.of(services), ({ metadata }) => this.#wants(metadata.namespace, metadata.name));
    this.#follow(informers.of(endpointSlices), ({ metadata }) =>
      this.#wants(metadata.namespace, metadata.labels?.["kubernetes.io/service-name"]),
    );
    await this.#gateways.start();
    this.#touch();
    await this.#running;
  }

  settled(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopping.abort();
    for (const off of this.#off) off();
    this.#gateways.stop();
    await this.#running;
    this.#haproxy.release();
    await this.#recorder.stop();
  }

  #openSource(): GatewaySource {
    const { informers } = this.#options;
    const serviceCache = informers.of(services);
    const sliceCache = informers.of(endpointSlices);
    sliceCache.addIndex("service", ({ metadata }) => {
      const owner = metadata.labels?.["kubernetes.io/service-name"];
      return owner ? [`${metadata.namespace}/${owner}`] : [];
    });
    return {
      service: (namespace, name) => {
        this.#wanted.add(`${namespace}/${name}`);
        return serviceCache.get(namespace, name);
      },
      slices: (namespace, service) => sliceCache.byIndex("service", `${namespace}/${service}`),
      secret: (namespace, name) => {
        this.#wanted.add(`secret ${namespace}/${name}`);
        return this.#followSecrets().get(namespace, name);
      },
      namespaceLabels: (name) => this.#followNamespaces().get(undefined, name)?.metadata.labels,
    };
  }

  /** Only clusters whose routes need Secrets pay for their copy. */
  #followSecrets() {
    const cache = this.#options.informers.of(secrets);
    if (!this.#secretsFollowed) {
      this.#secretsFollowed = true;
      this.#follow(cache, ({ metadata }) => this.#wants(`secret ${metadata.namespace}`, metadata.name));
    }
    return cache;
  }

  /** Only listeners that select namespaces look at them. */
  #followNamespaces() {
    const cache = this.#options.informers.of(namespaces);
    if (!this.#namespacesFollowed) {
      this.#namespacesFollowed = true;
      this.#follow(cache, () => true);
    }
    return cache;
  }

  #wants(namespace: string | undefined, name: string | undefined): boolean {
    return this.#wanted.has(`${namespace}/${name}`);
  }

  #follow<T extends KubernetesObject>(cache: Informer<T>, matters: (object: Readonly<T>) => boolean): void {
    const look = (object: Readonly<T>) => {
      if (matters(object)) this.#touch();
    };
    this.#off.push(cache.on({ add: look, update: look, delete: look }));
  }

  #touch(): void {
    this.#dirty = true;
    if (!this.#stopped) this.#running ??= this.#loop();
  }

  async #loop(): Promise<void> {
    const { clock, log } = this.#world;
    while (this.#dirty && !this.#stopped) {
      await clock.sleep(gatherMs, this.#stopping.signal);
      this.#dirty = false;
      try {
        await this.#sync();
      } catch (error) {
        log.warn({ error: messageOf(error) }, "the routes could not be served as they are wished for");
        this.#retryLater();
      }
    }
    this.#running = undefined;
  }

  #retryLater(): void {
    const { clock } = this.#world;
    clock.sleep(retryMs, this.#stopping.signal).then(
      () => this.#touch(),
      () => {},
    );
  }

  async #sync(): Promise<void> {
    const wanted = { ingresses: this.#mine(), gateways: this.#gateways.objects() };
    for (const object of this.#gateways.classes()) await this.#gatewayStatus.publishClass(object);
    if (wanted.ingresses.length + wanted.gateways.gateways.length === 0) {
      await this.#publishRoutes(wanted, []);
      return this.#end();
    }
    this.#serving = true;
    const translation = await this.#translate(wanted);
    try {
      await this.#haproxy.apply(translation.routing);
    } catch (error) {
      if (!(error instanceof HaproxyError)) throw error;
      this.#tell(wanted.ingresses.map((about) => ({ about, message: error.message })));
      for (const each of translation.gateways) await this.#gatewayStatus.publishGateway(each, error.message);
      throw error;
    }
    this.#tell(translation.problems);
    await this.#publish(wanted.ingresses);
    for (const each of translation.gateways) await this.#gatewayStatus.publishGateway(each);
    await this.#publishRoutes(wanted, translation.routes);
  }

  async #translate(wanted: Wanted): Promise<Translation> {
    const { translate, nodePort } = await import("./translate.ts");
    const { addresses, httpPort, httpsPort, ownCertificate } = this.#options;
    this.#certificate ??= ownCertificate();
    const own = { name: "own", pem: await this.#certificate, hosts: [] };
    const ports = wanted.gateways.gateways.flatMap(({ spec }) =>
      spec.listeners.map(({ port }) => nodePort(port, this.#options)),
    );
    const taken = await this.#haproxy.takenPorts(ports);
    if (taken.size > 0) this.#retryLater();
    const [hadSecrets, hadNamespaces] = [this.#secretsFollowed, this.#namespacesFollowed];
    this.#wanted = new Set();
    const translation = translate(this.#source, wanted, { addresses, httpPort, httpsPort, taken, own });
    if (this.#secretsFollowed === hadSecrets && this.#namespacesFollowed === hadNamespaces)
      return translation;
    await Promise.all([
      this.#secretsFollowed && this.#options.informers.of(secrets).waitForSync(),
      this.#namespacesFollowed && this.#options.informers.of(namespaces).waitForSync(),
    ]);
    return this.#translate(wanted);
  }

  async #publishRoutes({ gateways }: Wanted, verdicts: Translation["routes"]): Promise<void> {
    const byRoute = new Map(verdicts.map((verdict) => [verdict.route, verdict]));
    for (const route of gateways.routes) await this.#gatewayStatus.publishRoute(route, byRoute.get(route));
  }

  /** Those whose class is of this controller. */
  #mine(): Ingress[] {
    const classes = new Set(
      this.#classes
        .list()
        .filter(({ spec }) => spec?.controller === ingressController)
        .map(({ metadata }) => metadata.name),
    );
    return this.#ingresses
      .list()
      .filter(({ metadata, spec }) =>
        classes.has(spec.ingressClassName ?? metadata.annotations?.[classAnnotation] ?? ""),
      );
  }

  async #end(): Promise<void> {
    if (!this.#serving) return;
    this.#serving = false;
    await this.#haproxy.end();
  }

  /** Each problem of an object once. */
  #tell(problems: readonly Problem[]): void {
    for (const { about, message } of problems) {
      const key = `${about.metadata.uid} ${message}`;
      if (this.#told.has(key)) continue;
      if (this.#told.size >= toldMax) this.#told.clear();
      this.#told.add(key);
      this.#recorder.record(about, "Warning", "NotServed", message);
    }
  }

  async #publish(mine: readonly Ingress[]): Promise<void> {
    const wanted = this.#options.addresses.map((ip) => ({ ip }));
    for (const ingress of mine) {
      const now = ingress.status?.loadBalancer?.ingress ?? [];
      if (
        now.length === wanted.length &&
        now.every(({ ip, hostname }, i) => ip === wanted[i]!.ip && !hostname)
      )
        continue;
      await patchStatus(this.#options.client, ingresses, ingress, { loadBalancer: { ingress: wanted } });
    }
  }
}
