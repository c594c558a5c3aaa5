/** What plugins ask of other objects: which pods are of a kind, and which namespaces are meant. */
import {
  type corev1,
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  isEmptySelector,
  type KubernetesObject,
  type metav1,
  namespaces,
  persistentVolumeClaims,
  persistentVolumes,
  replicaSets,
  replicationControllers,
  selectorMatches,
  services,
  statefulSets,
  storageClasses,
} from "#api";
import { controllerOf, type Informer, type Informers } from "#client";
import type { ClusterEvent, SchedulingWorld, StorageLookups } from "./define-plugin.ts";
import { DeviceBook } from "./devices/device-book.ts";
import { GroupBook } from "./groups/pod-groups.ts";
import type { PodInfo, PodShape } from "./pod-info.ts";

export interface Lookups extends SchedulingWorld {
  readonly informers: readonly Informer[];
  /** Called when anything about storage, devices or groups changes. */
  on(listener: (event: ClusterEvent) => void): void;
  stop(): void;
}

export function lookupsOf(informers: Informers): Lookups {
  const namespaceInformer = informers.of(namespaces);
  const kin = kinOf(informers);
  const storage = storageOf(informers);
  const listeners: ((event: ClusterEvent) => void)[] = [];
  const tell = () => {
    for (const listener of listeners) listener({ kind: "StorageChanged" });
  };
  const devices = new DeviceBook(informers);
  const groups = new GroupBook(informers);
  const ends = storage.informers.map((each) => each.on({ add: tell, update: tell, delete: tell }));
  return {
    informers: [
      ...kin.informers,
      ...storage.informers,
      ...devices.informers,
      ...groups.informers,
      namespaceInformer as unknown as Informer,
    ],
    on(listener) {
      listeners.push(listener);
      devices.on(listener);
      groups.on(listener);
    },
    devices,
    groups,
    storage,
    kinSelector: kin.selector,
    namespacesWith(selector) {
      return namespaceInformer
        .list()
        .filter(({ metadata }) => selectorMatches(selector, metadata.labels ?? {}))
        .map(({ metadata }) => metadata.name);
    },
    stop() {
      kin.stop();
      devices.stop();
      groups.stop();
      for (const end of ends) end();
    },
  };
}

/** What selects the pods that belong with a pod, by its Services and its owner. */
function kinOf(informers: Informers) {
  const kinds = {
    Service: informers.of(services),
    ReplicaSet: informers.of(replicaSets),
    ReplicationController: informers.of(replicationControllers),
    StatefulSet: informers.of(statefulSets),
  };
  let known = new WeakMap<PodShape, { selector: metav1.LabelSelector | undefined }>();
  const forget = () => {
    known = new WeakMap();
  };
  const own: Informer[] = Object.values(kinds).map((each) => each as unknown as Informer);
  // Of an owner only its spec matters; its status changes with every pod.
  const changed = (now: KubernetesObject, old: KubernetesObject) => {
    if (now.metadata.generation === undefined || now.metadata.generation !== old.metadata.generation)
      forget();
  };
  const ends = own.map((each) => each.on({ add: forget, update: changed, delete: forget }));

  function selectorOf({ pod, shape }: PodInfo): metav1.LabelSelector | undefined {
    const matchLabels: Record<string, string> = {};
    for (const { spec } of kinds.Service.list(shape.namespace)) {
      const selector = Object.entries(spec.selector ?? {});
      if (selector.length > 0 && selector.every(([name, value]) => shape.labels[name] === value))
        Object.assign(matchLabels, spec.selector);
    }
    const theirs = ownerSelector(pod);
    Object.assign(matchLabels, theirs?.matchLabels);
    const { matchExpressions = [] } = theirs ?? {};
    const selector = { matchLabels, ...(matchExpressions.length > 0 ? { matchExpressions } : {}) };
    return isEmptySelector(selector) ? undefined : selector;
  }

  function ownerSelector(pod: Readonly<corev1.Pod>): Readonly<metav1.LabelSelector> | undefined {
    const owner = controllerOf(pod);
    const { namespace } = pod.metadata;
    if (owner?.kind === "ReplicaSet") return kinds.ReplicaSet.get(namespace, owner.name)?.spec.selector;
    if (owner?.kind === "StatefulSet") return kinds.StatefulSet.get(namespace, owner.name)?.spec.selector;
    if (owner?.kind !== "ReplicationController") return undefined;
    const matchLabels = kinds.ReplicationController.get(namespace, owner.name)?.spec.selector;
    return matchLabels && { matchLabels };
  }

  return {
    informers: own,
    selector(info: PodInfo): metav1.LabelSelector | undefined {
      let found = known.get(info.shape);
      if (!found) {
        found = { selector: selectorOf(info) };
        known.set(info.shape, found);
      }
      return found.selector;
    },
    stop() {
      for (const end of ends) end();
    },
  };
}

function storageOf(informers: Informers): StorageLookups & { readonly informers: readonly Informer[] } {
  const claims = informers.of(persistentVolumeClaims);
  const volumes = informers.of(persistentVolumes);
  const classes = informers.of(storageClasses);
  const csi = informers.of(csiNodes);
  const drivers = informers.of(csiDrivers);
  const capacities = informers.of(csiStorageCapacities);
  return {
    informers: [claims, volumes, classes, csi, drivers, capacities] as unknown as Informer[],
    claim: (namespace, name) => claims.get(namespace, name),
    volume: (name) => volumes.get(undefined, name),
    volumes: () => volumes.list(),
    storageClass: (name) => classes.get(undefined, name),
    csiNode: (name) => csi.get(undefined, name),
    csiDriver: (name) => drivers.get(undefined, name),
    capacities: () => capacities.list(),
  };
}
