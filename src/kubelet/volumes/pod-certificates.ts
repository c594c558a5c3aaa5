/**
 * Certificates of pods: a key made here, a request that a signer of the cluster answers, and another before the
 * certificate ends. Keys are kept in memory: after a restart there is a fresh one.
 * https://kubernetes.io/docs/concepts/storage/projected-volumes/#podcertificate
 */
import {
  type certificatesv1beta1,
  type corev1,
  isStatus,
  nodes,
  parseTime,
  pemBlocks,
  podCertificateRequests,
  serviceAccounts,
} from "#api";
import type { World } from "#base";
import type { Client, EventKind } from "#client";
import { VolumeError } from "#contracts";

export interface Credentials {
  /** PEM. */
  key: string;
  chain: string;
}

export interface CertificateSource {
  /** `place`: of the source among the pod's. Throws `VolumeError` until there is a certificate. */
  credentialsFor(
    pod: Readonly<corev1.Pod>,
    place: string,
    projection: Readonly<corev1.PodCertificateProjection>,
  ): Promise<Credentials>;
  forget(podUid: string): void;
}

export interface CertificateSourceOptions {
  client: Client;
  world: World;
  nodeName: string;
  say(pod: Readonly<corev1.Pod>, kind: EventKind, reason: string, message: string): void;
}

type Request = Readonly<certificatesv1beta1.PodCertificateRequest>;

interface Entry {
  current?: Credentials & { refreshAtMs: number };
  asking?: { name: string; key: string };
  /** Why there will never be one. */
  refused?: string;
}

/** How long a new pod's worker waits for the signer before it looks at something else. */
const waitTries = 20;
const waitPauseMs = 100;
const secondsMax = 24 * 3600;
/** Refreshes of many pods are not asked for in the same moment. */
const jitterMs = 5 * 60_000;

/** Loads the certificate library with the first request. */
const signing = () => import("./signing-request.ts");

export function createCertificateSource(options: CertificateSourceOptions): CertificateSource {
  const { client, world } = options;
  const entries = new Map<string, Entry>();

  /** Brings the entry a step further; true once nothing more is to be waited for. */
  async function look(pod: Readonly<corev1.Pod>, entry: Entry): Promise<boolean> {
    const { asking } = entry;
    if (!asking) return true;
    const ref = { namespace: pod.metadata.namespace ?? "", name: asking.name };
    const request = await client.get(podCertificateRequests, ref).catch((error: unknown) => {
      if (isStatus(error, "NotFound")) return undefined;
      throw error;
    });
    if (!request) {
      delete entry.asking;
      throw new VolumeError(
        `PodCertificateRequest "${ref.namespace}/${ref.name}" appears to have been deleted`,
      );
    }
    const end = request.status?.conditions?.find(({ type }) => ends.has(type));
    if (!end) return false;
    delete entry.asking;
    if (end.type === "Issued") entry.current = issued(request, asking.key, world);
    else refuse(options, pod, request, entry, end);
    return true;
  }

  return {
    async credentialsFor(pod, place, projection) {
      const key = `${pod.metadata.uid}/${place}`;
      const entry = entries.get(key) ?? {};
      entries.set(key, entry);
      const isDue = !entry.current || world.clock.now() >= entry.current.refreshAtMs;
      if (isDue && !entry.refused) {
        entry.asking ??= await ask(options, pod, projection);
        const tries = entry.current ? 1 : waitTries;
        for (let i = 0; i < tries && !(await look(pod, entry)); i++) await world.clock.sleep(waitPauseMs);
      }
      if (entry.refused) throw new VolumeError(entry.refused);
      if (entry.current) return entry.current;
      throw new VolumeError("credential bundle is not issued yet");
    },
    forget(podUid) {
      for (const key of entries.keys()) if (key.startsWith(`${podUid}/`)) entries.delete(key);
    },
  };
}

const ends: ReadonlySet<string> = new Set(["Issued", "Denied", "Failed"]);

async function ask(
  { client, nodeName, world }: CertificateSourceOptions,
  pod: Readonly<corev1.Pod>,
  projection: Readonly<corev1.PodCertificateProjection>,
): Promise<NonNullable<Entry["asking"]>> {
  const { namespace = "", name: podName, uid: podUID } = pod.metadata;
  const { serviceAccountName = "default" } = pod.spec;
  const [account, node, { makeSigningRequest }] = await Promise.all([
    client.get(serviceAccounts, { namespace, name: serviceAccountName }),
    client.get(nodes, { name: nodeName }),
    signing(),
  ]);
  const { key, request } = await makeSigningRequest(projection.keyType);
  const { signerName, maxExpirationSeconds = secondsMax, userAnnotations } = projection;
  const name = `req-${world.random.suffix(32)}`;
  await client.create(podCertificateRequests, {
    metadata: {
      namespace,
      name,
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: podName, uid: podUID }],
    },
    spec: {
      signerName,
      podName,
      podUID,
      serviceAccountName,
      serviceAccountUID: account.metadata.uid,
      nodeName,
      nodeUID: node.metadata.uid,
      maxExpirationSeconds,
      stubPKCS10Request: request,
      ...(userAnnotations ? { unverifiedUserAnnotations: userAnnotations } : {}),
    },
  });
  return { name, key };
}

function issued(
  { status = {} }: Request,
  key: string,
  { clock, random }: World,
): NonNullable<Entry["current"]> {
  const refreshAtMs = (parseTime(status.beginRefreshAt ?? "") ?? clock.now()) + random.int(jitterMs);
  return { key, chain: cleanChain(status.certificateChain ?? ""), refreshAtMs };
}

/** What the signer wrote between its certificates is nobody's. */
function cleanChain(text: string): string {
  return pemBlocks(text)
    .filter(({ type }) => type === "CERTIFICATE")
    .map(({ bytes }) => {
      const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
      return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
    })
    .join("");
}

function refuse(
  { say }: CertificateSourceOptions,
  pod: Readonly<corev1.Pod>,
  { metadata }: Request,
  entry: Entry,
  { type, reason, message }: { type: string; reason: string; message: string },
): void {
  const [what, why] = [
    `${metadata.namespace}/${metadata.name}`,
    [reason, message].map((each) => JSON.stringify(each)),
  ];
  const isDenied = type === "Denied";
  entry.refused = `PodCertificateRequest was permanently ${isDenied ? "denied" : "failed"}: reason=${why[0]} message=${why[1]}`;
  const words = `PodCertificateRequest ${what} ${isDenied ? "was denied" : "failed"}, reason=${why[0]}, message=${why[1]}`;
  say(pod, "Warning", type, words);
}
