/**
 * The claims of this node's pods: prepared by their drivers before a pod's first container, given to the containers that
 * name them, taken back when no pod uses them any more. What is prepared is remembered over a restart of the kubelet.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type corev1, resourceClaims, type resourcev1 } from "#api";
import { codeOf, messageOf, type World, writeDurably } from "#base";
import type { Client } from "#client";
import type { PluginHandler } from "../plugins/watcher.ts";
import { type ClaimReference, createClaimDrivers, type PreparedDevice } from "./drivers.ts";
import type { ClaimHealth } from "./health.ts";

export interface PreparedClaim {
  claim: ClaimReference;
  podUids: string[];
  devices: Record<string, PreparedDevice[]>;
}

export interface ClaimManager {
  /** Takes plugins of the type `DRAPlugin`. */
  readonly handler: PluginHandler;
  load(): Promise<void>;
  /** Throws an `Error` that says what is missing. */
  prepare(pod: Readonly<corev1.Pod>): Promise<void>;
  /** The CDI names of a container's devices. */
  devicesOf(pod: Readonly<corev1.Pod>, container: Readonly<corev1.Container>): string[];
  /** What is prepared of the claims that a container names. */
  preparedFor(pod: Readonly<corev1.Pod>, container: Readonly<corev1.Container>): PreparedClaim[];
  /** How the devices are that a container has of each claim that it names. */
  healthOf(pod: Readonly<corev1.Pod>, container: Readonly<corev1.Container>): corev1.ResourceStatus[];
  /** Uids of the pods that something is prepared for. */
  pods(): string[];
  /** Rejects where a driver could not take its devices back: to be tried again. */
  unprepare(podUid: string): Promise<void>;
}

/** The claim that stands behind a name of the pod's; undefined: none is needed. */
export function claimNameOf(pod: Readonly<corev1.Pod>, name: string): string | undefined {
  const spec = pod.spec.resourceClaims?.find((each) => each.name === name);
  if (spec?.resourceClaimName) return spec.resourceClaimName;
  const status = pod.status?.resourceClaimStatuses?.find((each) => each.name === name);
  if (!status) throw new Error(`pod claim name "${name}" has no resource claim yet`);
  return status.resourceClaimName;
}

/** The claims that a container uses, and which request of each: those that it names, and the one behind its resources. */
export function usesOf(
  pod: Readonly<corev1.Pod>,
  { name: containerName, resources }: Readonly<corev1.Container>,
  isKnown: (name: string) => boolean = () => true,
): { claim: string | undefined; request: string | undefined }[] {
  const named = (resources?.claims ?? [])
    .filter(({ name }) => isKnown(name))
    .map(({ name, request }) => ({ claim: claimNameOf(pod, name), request }));
  const { requestMappings = [], resourceClaimName } = pod.status?.extendedResourceClaimStatus ?? {};
  const own = requestMappings.filter(
    (each) => each.containerName === containerName && resources?.requests?.[each.resourceName] !== undefined,
  );
  return [...named, ...own.map(({ requestName }) => ({ claim: resourceClaimName, request: requestName }))];
}

/** Somebody has made the claim, or said that none is needed. */
function isNamed(pod: Readonly<corev1.Pod>, name: string): boolean {
  return (
    (pod.spec.resourceClaims ?? []).some((each) => each.name === name && each.resourceClaimName) ||
    (pod.status?.resourceClaimStatuses ?? []).some((each) => each.name === name)
  );
}

/** Throws in upstream's words where the pod may not use the claim. */
export function checkClaim(
  pod: Readonly<corev1.Pod>,
  { metadata, status }: Readonly<resourcev1.ResourceClaim>,
): void {
  const { namespace, name, uid } = pod.metadata;
  if (!status?.allocation)
    throw new Error(`resource claim ${metadata.namespace}/${metadata.name} not allocated`);
  if (!status.reservedFor?.some((each) => each.uid === uid))
    throw new Error(
      `pod ${namespace}/${name} (${uid}) is not allowed to use ResourceClaim ${metadata.namespace}/${metadata.name} (${metadata.uid})`,
    );
}

/** What a container uses of one claim: all of it, or what answers one request. */
function devicesFor(
  { devices }: Readonly<PreparedClaim>,
  request: string | undefined,
): (PreparedDevice & { driver: string })[] {
  const isAsked = ({ requestNames }: PreparedDevice) =>
    request === undefined ||
    requestNames.length === 0 ||
    requestNames.some((name) => name === request || name.startsWith(`${request}/`));
  return Object.entries(devices).flatMap(([driver, prepared]) =>
    prepared.filter(isAsked).map((device) => ({ ...device, driver })),
  );
}

/** The names that it goes by in the container's runtime. */
export function cdiNamesOf(prepared: Readonly<PreparedClaim>, request: string | undefined): string[] {
  return devicesFor(prepared, request).flatMap(({ cdiDeviceIds }) => cdiDeviceIds);
}

function healthOfClaim(
  prepared: Readonly<PreparedClaim>,
  { name, request }: Readonly<corev1.ResourceClaim>,
  health: ClaimHealth,
): corev1.ResourceStatus[] {
  const resources = devicesFor(prepared, request).map((device) => {
    const { driver, poolName, deviceName, cdiDeviceIds } = device;
    return { ...health.of(device), resourceID: cdiDeviceIds[0] ?? `${driver}/${poolName}/${deviceName}` };
  });
  return resources.length > 0 ? [{ name: `claim:${request ? `${name}/${request}` : name}`, resources }] : [];
}

/** The pods that have devices of a driver. */
function podsWith(claims: readonly PreparedClaim[], driver: string): Set<string> {
  return new Set(claims.filter(({ devices }) => devices[driver]).flatMap(({ podUids }) => podUids));
}

async function readPrepared(file: string, { log }: World): Promise<PreparedClaim[]> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as PreparedClaim[];
  } catch (error) {
    if (codeOf(error) !== "ENOENT")
      log.warn({ file, error: messageOf(error) }, "what claims are prepared could not be read");
    return [];
  }
}

async function writePrepared(file: string, claims: readonly PreparedClaim[]): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o750 });
  await writeDurably(file, JSON.stringify(claims));
}

export interface ClaimManagerOptions {
  client: Client;
  world: World;
  /** Where what is prepared is kept. */
  file: string;
  /** A device of the pod's is better or worse than before. */
  healthChanged(podUid: string): void;
}

export function createClaimManager(options: ClaimManagerOptions): ClaimManager {
  const { client, world, file } = options;
  let claims: PreparedClaim[] = [];
  const drivers = createClaimDrivers(world, (driver) => {
    for (const uid of podsWith(claims, driver)) options.healthChanged(uid);
  });
  let turn: Promise<unknown> = Promise.resolve();

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = turn.then(work, work);
    turn = next.catch(() => undefined);
    return next;
  }

  const save = () => writePrepared(file, claims);

  async function prepareOne(pod: Readonly<corev1.Pod>, name: string): Promise<void> {
    const { namespace = "", uid: podUid } = pod.metadata;
    const claim = await client.get(resourceClaims, { namespace, name });
    checkClaim(pod, claim);
    const reference = { namespace, name, uid: claim.metadata.uid };
    let known = claims.find((each) => each.claim.uid === reference.uid);
    if (!known) {
      known = { claim: reference, podUids: [], devices: {} };
      claims.push(known);
    }
    if (!known.podUids.includes(podUid)) known.podUids.push(podUid);
    // Written first: what a driver has prepared is never forgotten.
    await save();
    const results = claim.status?.allocation?.devices?.results ?? [];
    for (const driver of new Set(results.map((each) => each.driver)))
      known.devices[driver] ??= await drivers.prepare(driver, reference);
    await save();
  }

  function preparedOf(pod: Readonly<corev1.Pod>, claim: string | undefined): PreparedClaim | undefined {
    return claims.find((each) => each.claim.name === claim && each.podUids.includes(pod.metadata.uid));
  }

  return {
    handler: drivers.handler,
    async load() {
      claims = await readPrepared(file, world);
    },
    async prepare(pod) {
      const names = (pod.spec.resourceClaims ?? []).flatMap((each) => claimNameOf(pod, each.name) ?? []);
      const { extendedResourceClaimStatus: extended } = pod.status ?? {};
      if (extended) names.push(extended.resourceClaimName);
      if (names.length === 0) return;
      await inTurn(async () => {
        for (const name of names) await prepareOne(pod, name);
      });
    },
    devicesOf(pod, container) {
      const names = usesOf(pod, container).flatMap(({ claim, request }) => {
        const prepared = preparedOf(pod, claim);
        return prepared ? cdiNamesOf(prepared, request) : [];
      });
      return [...new Set(names)];
    },
    preparedFor(pod, container) {
      const isKnown = (name: string) => isNamed(pod, name);
      const found = usesOf(pod, container, isKnown).flatMap(({ claim }) => preparedOf(pod, claim) ?? []);
      return [...new Set(found)];
    },
    healthOf(pod, { resources }) {
      const named = (resources?.claims ?? []).filter(({ name }) => isNamed(pod, name));
      return named.flatMap((claim) => {
        const prepared = preparedOf(pod, claimNameOf(pod, claim.name));
        return prepared ? healthOfClaim(prepared, claim, drivers.health) : [];
      });
    },
    pods: () => [...new Set(claims.flatMap(({ podUids }) => podUids))],
    async unprepare(podUid) {
      if (!claims.some((each) => each.podUids.includes(podUid))) return;
      await inTurn(async () => {
        for (const known of claims.filter((each) => each.podUids.includes(podUid))) {
          if (known.podUids.length === 1)
            for (const driver of Object.keys(known.devices)) await drivers.unprepare(driver, known.claim);
          known.podUids = known.podUids.filter((each) => each !== podUid);
        }
        claims = claims.filter((each) => each.podUids.length > 0);
        await save();
      });
    },
  };
}
