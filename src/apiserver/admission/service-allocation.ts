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
  type ResourceDefinition,
  StatusError,
  services,
} from "#api";
import type { Random } from "#base";
import { keyOf } from "../cache/keys.ts";
import type { Storage } from "../registry/storage.ts";
import { type AddressRange, contains, formatAddress, parseAddress, parseRange } from "./address-range.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";

export interface PortRange {
  from: number;
  to: number;
}

export interface ServiceAllocationOptions {
  serviceCidr: string;
  nodePortRange: PortRange;
}

/** Numbers that belong to services, by the key of the service. */
class Pool {
  readonly #owners = new Map<number, string>();
  readonly #reserved = new Map<number, string>();
  readonly #first: number;
  readonly #size: number;

  constructor(first: number, size: number) {
    this.#first = first;
    this.#size = size;
  }

  isFree(value: number, key: string): boolean {
    const owner = this.#owners.get(value) ?? this.#reserved.get(value);
    return owner === undefined || owner === key;
  }

  reserve(value: number, key: string): void {
    this.#reserved.set(value, key);
  }

  /** A free number from a random place on; undefined when there is none. */
  draw(random: Random, key: string): number | undefined {
    const start = random.int(this.#size);
    for (let i = 0; i < this.#size; i++) {
      const value = this.#first + ((start + i) % this.#size);
      if (this.#owners.has(value) || this.#reserved.has(value)) continue;
      this.reserve(value, key);
      return value;
    }
    return undefined;
  }

  replace(before: readonly number[], after: readonly number[], key: string): void {
    for (const value of before) if (this.#owners.get(value) === key) this.#owners.delete(value);
    for (const value of after) this.#owners.set(value, key);
  }

  release(key: string): void {
    for (const [value, owner] of this.#reserved) if (owner === key) this.#reserved.delete(value);
  }
}

export function serviceAllocation(storage: Storage, options: ServiceAllocationOptions): AdmissionStep {
  const range = parseRange(options.serviceCidr);
  const ports = options.nodePortRange;
  const pools = {
    addresses: new Pool(range.first, range.size),
    ports: new Pool(ports.from, ports.to - ports.from + 1),
  };
  const definition = services as ResourceDefinition;
  const cache = storage.cache(definition);
  const note = (key: string, before: corev1.Service | undefined, after: corev1.Service | undefined) => {
    pools.addresses.replace(addressesOf(before), addressesOf(after), key);
    pools.ports.replace(nodePortsOf(before), nodePortsOf(after), key);
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
      if (attributes.old) keepAllocated(service, attributes.old as corev1.Service);
      const allocation = new Allocation(
        service,
        keyOfService(attributes),
        storage.world.random,
        range,
        ports,
        pools,
      );
      allocation.run();
    },
    settled(attributes) {
      if (!serviceOf(attributes)) return;
      pools.addresses.release(keyOfService(attributes));
      pools.ports.release(keyOfService(attributes));
    },
  };
}

function serviceOf({ definition, subresource, object }: Attributes): corev1.Service | undefined {
  if (definition !== (services as ResourceDefinition) || subresource !== "" || !object) return undefined;
  return object as corev1.Service;
}

function keyOfService({ definition, namespace, object, name }: Attributes): string {
  return keyOf(definition, namespace, object?.metadata.name || name);
}

function addressesOf(service: Readonly<corev1.Service> | undefined): number[] {
  const list = service?.spec.clusterIPs ?? (service?.spec.clusterIP ? [service.spec.clusterIP] : []);
  return list.map(parseAddress).filter((a) => a !== undefined);
}

function nodePortsOf(service: Readonly<corev1.Service> | undefined): number[] {
  const list = (service?.spec.ports ?? []).map((p) => p.nodePort ?? 0);
  return [...list, service?.spec.healthCheckNodePort ?? 0].filter((p) => p > 0);
}

function needsAddress({ spec }: Readonly<corev1.Service>): boolean {
  return spec.type !== "ExternalName";
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
    if (!spec.clusterIP && !spec.clusterIPs?.length && old.spec.clusterIP) {
      spec.clusterIP = old.spec.clusterIP;
      spec.clusterIPs = old.spec.clusterIPs ?? [old.spec.clusterIP];
    }
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
  readonly #key: string;
  readonly #random: Random;
  readonly #range: AddressRange;
  readonly #ports: PortRange;
  readonly #pools: { addresses: Pool; ports: Pool };
  readonly #errors: FieldError[] = [];

  constructor(
    service: corev1.Service,
    key: string,
    random: Random,
    range: AddressRange,
    ports: PortRange,
    pools: { addresses: Pool; ports: Pool },
  ) {
    this.#service = service;
    this.#key = key;
    this.#random = random;
    this.#range = range;
    this.#ports = ports;
    this.#pools = pools;
  }

  run(): void {
    const { spec, metadata } = this.#service;
    if (needsAddress(this.#service)) this.#address();
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
    if (this.#errors.length > 0) throw invalidObject(services, metadata.name, this.#errors);
  }

  #address(): void {
    const { spec } = this.#service;
    if (!spec.clusterIP && spec.clusterIPs?.[0]) spec.clusterIP = spec.clusterIPs[0];
    if (spec.clusterIP === "None") spec.clusterIPs = ["None"];
    else if (spec.clusterIP) this.#takeAddress(spec.clusterIP);
    else {
      const address = this.#pools.addresses.draw(this.#random, this.#key);
      if (address === undefined) throw exhausted("failed to allocate a serviceIP: range is full");
      spec.clusterIP = formatAddress(address);
    }
    if (spec.clusterIP && !spec.clusterIPs?.length) spec.clusterIPs = [spec.clusterIP];
  }

  #takeAddress(text: string): void {
    const address = parseAddress(text);
    // What is no address at all is validation's to say.
    if (address === undefined) return;
    const refuse = (why: string) =>
      this.#errors.push(invalid("spec.clusterIPs", [text], `failed to allocate IP ${text}: ${why}`));
    if (!contains(this.#range, address)) {
      refuse(
        `the provided IP (${text}) is not in the valid range. The range of valid IPs is ${this.#range.cidr}`,
      );
    } else if (!this.#pools.addresses.isFree(address, this.#key)) refuse("provided IP is already allocated");
    else this.#pools.addresses.reserve(address, this.#key);
  }

  #takePort(port: number, field: string): void {
    const { from, to } = this.#ports;
    if (port < from || port > to) {
      const why = `provided port is not in the valid range. The range of valid ports is ${from}-${to}`;
      this.#errors.push(invalid(field, port, why));
    } else if (!this.#pools.ports.isFree(port, this.#key)) {
      this.#errors.push(invalid(field, port, "provided port is already allocated"));
    } else this.#pools.ports.reserve(port, this.#key);
  }

  #drawPort(field: string): number {
    const port = this.#pools.ports.draw(this.#random, this.#key);
    if (port === undefined) throw exhausted(`failed to allocate a nodePort for ${field}: range is full`);
    return port;
  }
}

function exhausted(why: string): StatusError {
  return StatusError.of(500, "InternalError", `Internal error occurred: ${why}`);
}
