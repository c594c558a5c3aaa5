/**
 * Mirrors Endpoints that people write themselves into EndpointSlices: proxies and DNS read only those.
 * https://kubernetes.io/docs/concepts/services-networking/service/#endpointslice-mirroring
 */
import {
  type corev1,
  type Draft,
  type discoveryv1,
  endpointSlices,
  endpoints,
  isStatus,
  sameJson,
  services,
} from "#api";
import {
  type ControllerContext,
  defineController,
  done,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import { controllerRef, isNamespaceTerminating } from "../kit/pods.ts";
import { hasOwnBackends, portsKey } from "./service-pods.ts";

type Endpoints = Readonly<corev1.Endpoints>;
type Slice = Readonly<discoveryv1.EndpointSlice>;

const managedBy = "endpointslicemirroring-controller.k8s.io";
const managedByLabel = "endpointslice.kubernetes.io/managed-by";
const serviceLabel = "kubernetes.io/service-name";
const skipLabel = "endpointslice.kubernetes.io/skip-mirror";
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader";
/** Further addresses of a subset are left out, as upstream does. */
const addressesMax = 1000;
const sliceIndex = "mirroredService";

interface MirrorState {
  /** Undefined: there is nothing to mirror (any more). */
  source: Endpoints | undefined;
  slices: readonly Slice[];
}

interface MirrorPlan {
  create: readonly Draft<discoveryv1.EndpointSlice>[];
  update: readonly Slice[];
  remove: readonly Slice[];
}

export const endpointSliceMirroringController = defineController<MirrorState, MirrorPlan>({
  name: "endpointslice-mirroring-controller",
  primary: endpoints,
  secondaries: [
    source(services, ({ metadata }) => [`${metadata.namespace}/${metadata.name}`]),
    source(endpointSlices, mirroredKey),
  ],
  concurrency: 5,
  rules: [
    rule("", ["services", "endpoints"], readVerbs),
    rule("discovery.k8s.io", ["endpointslices"], [...readVerbs, "create", "update", "delete"]),
  ],
  prepare({ informers }) {
    informers.of(endpointSlices).addIndex(sliceIndex, mirroredKey);
  },
  observe({ informers }, key) {
    const object = informers.of(endpoints).byKey(key);
    const service = informers.of(services).byKey(key);
    const mirrored = object && service && !hasOwnBackends(service) && isMirrored(object);
    const slices = informers.of(endpointSlices).byIndex(sliceIndex, key);
    return {
      source: mirrored ? object : undefined,
      slices: slices.filter((s) => !s.metadata.deletionTimestamp),
    };
  },
  decide: decideMirror,
  act,
});

function mirroredKey({ metadata: { labels = {}, namespace } }: Slice): string[] {
  const service = labels[serviceLabel];
  return service && labels[managedByLabel] === managedBy ? [`${namespace}/${service}`] : [];
}

function isMirrored({ metadata }: Endpoints): boolean {
  return (
    !metadata.deletionTimestamp &&
    metadata.labels?.[skipLabel] !== "true" &&
    metadata.annotations?.[leaderAnnotation] === undefined
  );
}

function decideMirror({ source: object, slices }: Readonly<MirrorState>): MirrorPlan | undefined {
  const wanted = object ? (object.subsets ?? []).map((subset) => sliceOf(object, subset)) : [];
  const open = [...slices];
  const plan = { create: [] as Draft<discoveryv1.EndpointSlice>[], update: [] as Slice[] };
  for (const next of wanted) {
    const place = open.findIndex(
      (slice) => portsKey(slice.ports) === portsKey(next.ports as discoveryv1.EndpointPort[]),
    );
    const [slice] = place < 0 ? [] : open.splice(place, 1);
    if (!slice) {
      plan.create.push(next);
    } else if (
      !sameJson(slice.endpoints ?? [], next.endpoints) ||
      !sameJson(slice.metadata.labels, next.metadata?.labels)
    ) {
      const labels = { ...(next.metadata?.labels as Record<string, string>) };
      plan.update.push({
        ...slice,
        metadata: { ...slice.metadata, labels },
        endpoints: next.endpoints as Slice["endpoints"],
      });
    }
  }
  const rests = plan.create.length + plan.update.length + open.length === 0;
  return rests ? undefined : { ...plan, remove: open };
}

function sliceOf(
  object: Endpoints,
  subset: Readonly<corev1.EndpointSubset>,
): Draft<discoveryv1.EndpointSlice> {
  const { name, namespace = "default", labels } = object.metadata;
  const endpoint = (ready: boolean) => (address: Readonly<corev1.EndpointAddress>) => ({
    addresses: [address.ip],
    conditions: { ready },
    ...(address.hostname ? { hostname: address.hostname } : {}),
    ...(address.nodeName ? { nodeName: address.nodeName } : {}),
    ...(address.targetRef ? { targetRef: address.targetRef } : {}),
  });
  const all = [
    ...(subset.addresses ?? []).map(endpoint(true)),
    ...(subset.notReadyAddresses ?? []).map(endpoint(false)),
  ];
  const first = all[0]?.addresses[0] ?? "";
  return {
    metadata: {
      generateName: `${name}-`,
      namespace,
      labels: { ...labels, [serviceLabel]: name, [managedByLabel]: managedBy },
      ownerReferences: [controllerRef(object)],
    },
    addressType: first.includes(":") ? "IPv6" : "IPv4",
    endpoints: all.slice(0, addressesMax),
    ports: (subset.ports ?? []).map((port) => ({
      ...port,
      name: port.name ?? "",
      protocol: port.protocol ?? "TCP",
    })),
  };
}

async function act(plan: MirrorPlan, { client }: ControllerContext): Promise<Outcome> {
  for (const slice of plan.update) await client.update(endpointSlices, slice as discoveryv1.EndpointSlice);
  for (const draft of plan.create) {
    try {
      await client.create(endpointSlices, draft);
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
  }
  for (const { metadata } of plan.remove) {
    try {
      await client.delete(endpointSlices, metadata, { preconditions: { uid: metadata.uid } });
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
    }
  }
  return done;
}
