/**
 * ServiceCIDRs: ready as soon as they are there, and kept until no Service has an address of theirs alone.
 * https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
 */
import { BlockList, isIPv6 } from "node:net";
import { formatTime, ipAddresses, type networkingv1, serviceCidrs, services } from "#api";
import {
  after,
  defineController,
  done,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";

type ServiceCidr = Readonly<networkingv1.ServiceCIDR>;

const finalizer = "networking.k8s.io/service-cidr-finalizer";
const group = "networking.k8s.io";
/** Addresses that are just being given out come to be known. */
const graceMs = 10_000;

interface State {
  cidr: ServiceCidr;
  others: readonly ServiceCidr[];
  addresses: readonly string[];
}

type Plan = { finalizers: string[] } | { ready: boolean } | { waitMs: number };

function blocksOf(cidrs: readonly string[]): BlockList {
  const blocks = new BlockList();
  for (const cidr of cidrs) {
    const [address = "", length] = cidr.split("/");
    blocks.addSubnet(address, Number(length), isIPv6(address) ? "ipv6" : "ipv4");
  }
  return blocks;
}

/** Addresses that would be left without any block. */
function isNeeded({ cidr, others, addresses }: Readonly<State>): boolean {
  const own = blocksOf(cidr.spec?.cidrs ?? []);
  const rest = blocksOf(others.flatMap(({ spec }) => spec?.cidrs ?? []));
  return addresses.some((address) => {
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    return own.check(address, family) && !rest.check(address, family);
  });
}

function isSaid({ status }: ServiceCidr, ready: boolean): boolean {
  const wanted = ready ? "True" : "False";
  return status?.conditions?.some((each) => each.type === "Ready" && each.status === wanted) ?? false;
}

function decide(state: Readonly<State>, nowMs: number): Plan | undefined {
  const { finalizers = [], deletionTimestamp } = state.cidr.metadata;
  const isHeld = finalizers.includes(finalizer);
  if (!deletionTimestamp) {
    if (!isHeld) return { finalizers: [...finalizers, finalizer] };
    return isSaid(state.cidr, true) ? undefined : { ready: true };
  }
  if (!isHeld) return undefined;
  if (isNeeded(state)) return isSaid(state.cidr, false) ? undefined : { ready: false };
  const waitMs = Date.parse(deletionTimestamp) + graceMs - nowMs;
  return waitMs > 0 ? { waitMs } : { finalizers: finalizers.filter((each) => each !== finalizer) };
}

export const serviceCidrController = defineController<State, Plan>({
  name: "service-cidr-controller",
  primary: serviceCidrs,
  secondaries: [
    // What goes may have held up a block that is to go.
    source(services, (_, { informers }) => terminating(informers.of(serviceCidrs).list())),
    source(ipAddresses, (_, { informers }) => terminating(informers.of(serviceCidrs).list())),
  ],
  concurrency: 1,
  rules: [
    rule(group, ["servicecidrs"], [...readVerbs, "patch", "update"]),
    rule(group, ["servicecidrs/finalizers"], ["patch", "update"]),
    rule(group, ["servicecidrs/status"], ["patch", "update"]),
    rule(group, ["ipaddresses"], readVerbs),
    rule("", ["services"], readVerbs),
  ],
  observe({ informers }, key) {
    const cidr = informers.of(serviceCidrs).byKey(key);
    if (!cidr) return undefined;
    const others = informers
      .of(serviceCidrs)
      .list()
      .filter(({ metadata }) => metadata.name !== key && !metadata.deletionTimestamp);
    if (!cidr.metadata.deletionTimestamp) return { cidr, others, addresses: [] };
    const used = informers
      .of(services)
      .list()
      .flatMap(({ spec }) => spec?.clusterIPs ?? [])
      .filter((address) => address !== "None");
    const named = informers.of(ipAddresses).list();
    return { cidr, others, addresses: [...used, ...named.map(({ metadata }) => metadata.name)] };
  },
  decide,
  async act(plan, { client, world }, { cidr }): Promise<Outcome> {
    if ("waitMs" in plan) return after(plan.waitMs);
    if ("finalizers" in plan) {
      const { uid, resourceVersion } = cidr.metadata;
      const metadata = { uid, resourceVersion, finalizers: plan.finalizers };
      await client.patch(serviceCidrs, cidr.metadata, "merge", { metadata });
      return done;
    }
    const message = plan.ready
      ? "Kubernetes ServiceCIDR is ready"
      : "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
    const condition = {
      type: "Ready",
      status: plan.ready ? "True" : "False",
      reason: plan.ready ? "" : "Terminating",
      message,
      lastTransitionTime: formatTime(world.clock.now()),
    } as const;
    const rest = (cidr.status?.conditions ?? []).filter(({ type }) => type !== "Ready");
    const status = { ...cidr.status, conditions: [...rest, condition] };
    await client.update(serviceCidrs, { ...cidr, status }, { subresource: "status" });
    return done;
  },
});

function terminating(all: readonly ServiceCidr[]): string[] {
  return all.filter(({ metadata }) => metadata.deletionTimestamp).map(({ metadata }) => metadata.name);
}
