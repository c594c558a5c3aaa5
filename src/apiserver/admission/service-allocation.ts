/**
 * Cluster addresses and node ports of services. What is in use is known from the services themselves, so nothing has to
 * be repaired after a restart; what a request under way has taken is reserved until it is over.
 * https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
 */
import {
  type corev1,
  type FieldError,
  invalid,
  invalidObject,
  type networkingv1,
  type ResourceDefinition,
  StatusError,
  serviceCidrs,
  services,
  validateClusterAddresses,
} from "#api";
import type { Random } from "#base";
import { keyOf } from "../cache/keys.ts";
import type { Storage } from "../registry/storage.ts";
import { type AddressRange, type IpFamily, isAssignable, parseRange, rangeOf } from "./address-range.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";
import { completeFamilies, needsAddress, normalizeAddresses } from "./service-families.ts";
import { AddressPool, PortPool } from "./service-pools.ts";

export interface PortRange {
  from: number;
  to: number;
}

export interface ServiceAllocationOptions {
  /** One of each family that the cluster has; the first one's is the default. */
  serviceCidrs: readonly string[];
  nodePortRange: PortRange;
}

interface Resources {
  readonly random: Random;
  readonly families: readonly IpFamily[];
  /** The cluster's own, and those that ServiceCIDRs have added. */
  ranges(): readonly AddressRange[];
  readonly portRange: PortRange;
  readonly addresses: AddressPool;
  readonly ports: PortPool;
}

export function serviceAllocation(storage: Storage, options: ServiceAllocationOptions): AdmissionStep {
  const own = options.serviceCidrs.map(parseRange);
  const resources: Resources = {
    random: storage.world.random,
    families: own.map(({ family }) => family),
    ranges: followRanges(storage, own),
    portRange: options.nodePortRange,
    addresses: new AddressPool(),
    ports: new PortPool(options.nodePortRange),
  };
  const { addresses, ports } = resources;
  const cache = storage.cache(services as ResourceDefinition);
  const note = (key: string, before: corev1.Service | undefined, after: corev1.Service | undefined) => {
    addresses.replace(addressesOf(before), addressesOf(after), key);
    ports.owned.replace(nodePortsOf(before), nodePortsOf(after), key);
  };
  for (const object of cache.scan("")) note(object.key, undefined, object.parse() as corev1.Service);
  cache.listen(({ key, previous, current }) => {
    note(
      key,
      previous?.parse() as corev1.Service | undefined,
      current?.parse() as corev1.Service | undefined,
    );
  });
  return {
    name: "ServiceAllocation",
    reserve(attributes) {
      const service = serviceOf(attributes);
      if (!service) return;
      const old = attributes.old as Readonly<corev1.Service> | undefined;
      normalizeAddresses(service, old);
      if (old) keepAllocated(service, old);
      new Allocation(service, old, keyOfService(attributes), resources).run();
    },
    settled(attributes) {
      if (!serviceOf(attributes)) return;
      addresses.release(keyOfService(attributes));
      ports.owned.release(keyOfService(attributes));
    },
  };
}

/** The ranges as the ServiceCIDRs say; those that are on their way out give nothing more. */
function followRanges(storage: Storage, own: readonly AddressRange[]): () => readonly AddressRange[] {
  const cache = storage.cache(serviceCidrs as ResourceDefinition);
  let known: readonly AddressRange[] | undefined;
  cache.listen(() => {
    known = undefined;
  });
  return () => {
    if (known) return known;
    const all = new Map(own.map((range) => [range.cidr, range]));
    for (const object of cache.scan("")) {
      const { metadata, spec, status } = object.parse() as networkingv1.ServiceCIDR;
      const ready = status?.conditions?.find(({ type }) => type === "Ready");
      if (metadata.deletionTimestamp || (ready && ready.status !== "True")) continue;
      for (const range of (spec?.cidrs ?? []).map(rangeOf)) if (range) all.set(range.cidr, range);
    }
    known = [...all.values()];
    return known;
  };
}

function serviceOf({ definition, subresource, object }: Attributes): corev1.Service | undefined {
  if (definition !== (services as ResourceDefinition) || subresource !== "" || !object) return undefined;
  return object as corev1.Service;
}

function keyOfService({ definition, namespace, object, name }: Attributes): string {
  return keyOf(definition, namespace, object?.metadata.name || name);
}

function addressesOf(service: Readonly<corev1.Service> | undefined): readonly string[] {
  return service?.spec.clusterIPs ?? (service?.spec.clusterIP ? [service.spec.clusterIP] : []);
}

function nodePortsOf(service: Readonly<corev1.Service> | undefined): number[] {
  const list = (service?.spec.ports ?? []).map((p) => p.nodePort ?? 0);
  return [...list, service?.spec.healthCheckNodePort ?? 0].filter((p) => p > 0);
}

function needsNodePorts({ spec }: Readonly<corev1.Service>): boolean {
  return (
    spec.type === "NodePort" || (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false)
  );
}

function needsHealthPort({ spec }: Readonly<corev1.Service>): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

/** A client that leaves out what was allocated wants to keep it. */
function keepAllocated(service: corev1.Service, old: Readonly<corev1.Service>): void {
  const { spec } = service;
  if (needsAddress(service) && needsAddress(old)) {
    if (!spec.clusterIP && old.spec.clusterIP) spec.clusterIP = old.spec.clusterIP;
    if (!spec.clusterIPs?.length && old.spec.clusterIPs) spec.clusterIPs = [...old.spec.clusterIPs];
  }
  if (needsNodePorts(service) && needsNodePorts(old)) {
    for (const port of spec.ports ?? []) {
      const former = old.spec.ports?.find((p) => p.port === port.port && p.protocol === port.protocol);
      if (!port.nodePort && former?.nodePort) port.nodePort = former.nodePort;
    }
  }
  if (needsHealthPort(service) && needsHealthPort(old) && old.spec.healthCheckNodePort) {
    spec.healthCheckNodePort ??= old.spec.healthCheckNodePort;
  }
}

class Allocation {
  readonly #service: corev1.Service;
  readonly #old: Readonly<corev1.Service> | undefined;
  readonly #key: string;
  readonly #resources: Resources;
  readonly #errors: FieldError[] = [];

  constructor(
    service: corev1.Service,
    old: Readonly<corev1.Service> | undefined,
    key: string,
    resources: Resources,
  ) {
    this.#service = service;
    this.#old = old;
    this.#key = key;
    this.#resources = resources;
  }

  run(): void {
    const { spec } = this.#service;
    // What is wrong by itself validation tells, with all else that is.
    if (validateClusterAddresses(this.#service, this.#old).length > 0) return;
    this.#errors.push(...completeFamilies(this.#service, this.#old, this.#resources.families));
    this.#refuse();
    if (needsAddress(this.#service)) this.#takeAddresses();
    for (const [i, port] of (spec.ports ?? []).entries()) {
      const field = `spec.ports[${i}].nodePort`;
      if (port.nodePort) this.#takePort(port.nodePort, field);
      else if (needsNodePorts(this.#service)) port.nodePort = this.#drawPort(field);
    }
    if (needsHealthPort(this.#service)) {
      const field = "spec.healthCheckNodePort";
      if (spec.healthCheckNodePort) this.#takePort(spec.healthCheckNodePort, field);
      else spec.healthCheckNodePort = this.#drawPort(field);
    }
    this.#refuse();
  }

  #refuse(): void {
    if (this.#errors.length > 0) throw invalidObject(services, this.#service.metadata.name, this.#errors);
  }

  /** One of each family; those that are there stay. */
  #takeAddresses(): void {
    const { spec } = this.#service;
    const before = (this.#old && needsAddress(this.#old) && this.#old.spec.clusterIPs) || [];
    if (spec.clusterIP === "None" || before[0] === "None") return;
    const addresses = [...(spec.clusterIPs ?? [])];
    for (const [i, family] of (spec.ipFamilies ?? []).entries()) {
      const wanted = addresses[i];
      if (wanted === undefined) addresses[i] = this.#drawAddress(family as IpFamily);
      else if (!before.includes(wanted)) this.#takeAddress(wanted);
    }
    spec.clusterIPs = addresses;
    if (addresses[0]) spec.clusterIP = addresses[0];
  }

  #drawAddress(family: IpFamily): string {
    const { addresses, ranges, random } = this.#resources;
    const own = ranges().filter((range) => range.family === family);
    const address = addresses.draw(own, random, this.#key);
    if (address === undefined) throw exhausted("failed to allocate a serviceIP: range is full");
    return address;
  }

  #takeAddress(address: string): void {
    const { addresses, ranges } = this.#resources;
    const refuse = (why: string) =>
      this.#errors.push(
        invalid("spec.clusterIPs", this.#service.spec.clusterIPs, `failed to allocate IP ${address}: ${why}`),
      );
    const range = ranges().find((each) => each.contains(address));
    if (!range) refuse("the provided network does not match the current range");
    else if (!isAssignable(range, address))
      refuse(
        `the provided IP (${address}) is not in the valid range. The range of valid IPs is ${range.cidr}`,
      );
    else if (!addresses.isFree(address, this.#key)) refuse("provided IP is already allocated");
    else addresses.reserve(address, this.#key);
  }

  #takePort(port: number, field: string): void {
    const { from, to } = this.#resources.portRange;
    const { owned } = this.#resources.ports;
    if (port < from || port > to) {
      const why = `provided port is not in the valid range. The range of valid ports is ${from}-${to}`;
      this.#errors.push(invalid(field, port, why));
    } else if (!owned.isFree(port, this.#key)) {
      this.#errors.push(invalid(field, port, "provided port is already allocated"));
    } else owned.reserve(port, this.#key);
  }

  #drawPort(field: string): number {
    const port = this.#resources.ports.draw(this.#resources.random, this.#key);
    if (port === undefined) throw exhausted(`failed to allocate a nodePort for ${field}: range is full`);
    return port;
  }
}

function exhausted(why: string): StatusError {
  return StatusError.of(500, "InternalError", `Internal error occurred: ${why}`);
}
