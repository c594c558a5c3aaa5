/** Several sources in one folder. https://kubernetes.io/docs/concepts/storage/projected-volumes/ */
import type { corev1 } from "#api";
import { defineVolumePlugin, type VolumeFile, type VolumeNeeds } from "#contracts";
import {
  checkPath,
  configMapData,
  defaultFileMode,
  downwardFiles,
  expectObject,
  filesVolume,
  secretData,
  selectKeys,
} from "./files.ts";

const defaultExpirationSeconds = 3600;

/** The one user all containers run as. */
function userOf({ spec }: Readonly<corev1.Pod>): number | undefined {
  const users = [...(spec.initContainers ?? []), ...spec.containers].map(
    (c) => c.securityContext?.runAsUser ?? spec.securityContext?.runAsUser,
  );
  return users.every((u) => u === users[0]) ? users[0] : undefined;
}

/**
 * Where it is known who will read a token, nobody else may.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-storage/2451-service-account-token-volumes#file-permission
 */
function tokenAccess(pod: Readonly<corev1.Pod>, mode: number): { mode: number; owner?: number } {
  const owner = userOf(pod);
  const isPrivate = owner !== undefined || pod.spec.securityContext?.fsGroup !== undefined;
  return { mode: isPrivate ? 0o600 : mode, ...(owner === undefined ? {} : { owner }) };
}

function certificateFiles(
  { credentialBundlePath, keyPath, certificateChainPath }: Readonly<corev1.PodCertificateProjection>,
  { key, chain }: { key: string; chain: string } = { key: "", chain: "" },
): { path: string; content: Uint8Array }[] {
  const texts = [
    [credentialBundlePath, key + chain],
    [keyPath, key],
    [certificateChainPath, chain],
  ] as const;
  return texts.flatMap(([path, text]) =>
    path ? [{ path: checkPath(path), content: Buffer.from(text) }] : [],
  );
}

export const projectedVolume = defineVolumePlugin({
  ...filesVolume,
  name: "projected",
  directoryName: "kubernetes.io~projected",
  live: true,
  needs(volume) {
    const needs: VolumeNeeds = { configMaps: [], secrets: [], tokens: [] };
    const { sources = [] } = volume.projected!;
    needs.trustBundles = sources.flatMap(({ clusterTrustBundle }) => clusterTrustBundle ?? []);
    needs.certificates = sources.flatMap(({ podCertificate }) => podCertificate ?? []);
    for (const { configMap, secret, serviceAccountToken: token } of sources) {
      if (configMap)
        needs.configMaps.push({ name: configMap.name ?? "", optional: configMap.optional ?? false });
      if (secret) needs.secrets.push({ name: secret.name ?? "", optional: secret.optional ?? false });
      if (token) {
        const expirationSeconds = token.expirationSeconds ?? defaultExpirationSeconds;
        needs.tokens.push({ ...(token.audience ? { audience: token.audience } : {}), expirationSeconds });
      }
    }
    return needs;
  },
  plan(volume, sources, context) {
    const { sources: parts = [], defaultMode: mode = defaultFileMode } = volume.projected!;
    const files: VolumeFile[] = [];
    let tokens = 0;
    let bundles = 0;
    let certificates = 0;
    for (const {
      configMap,
      secret,
      downwardAPI,
      serviceAccountToken,
      clusterTrustBundle,
      podCertificate,
    } of parts) {
      if (configMap) {
        const { name = "", optional = false, items } = configMap;
        const map = expectObject(sources.configMaps.get(name), "configmap", name, optional);
        files.push(...selectKeys(configMapData(map), items, mode, optional, "configmap"));
      }
      if (secret) {
        const { name = "", optional = false, items } = secret;
        const object = expectObject(sources.secrets.get(name), "secret", name, optional);
        files.push(...selectKeys(secretData(object), items, mode, optional, "secret"));
      }
      if (downwardAPI) files.push(...downwardFiles(downwardAPI.items ?? [], mode, context));
      if (serviceAccountToken) {
        const token = Buffer.from(sources.tokens[tokens++] ?? "");
        const path = checkPath(serviceAccountToken.path);
        files.push({ path, content: token, ...tokenAccess(context.pod, mode) });
      }
      if (clusterTrustBundle) {
        const content = Buffer.from(sources.trustBundles?.[bundles++] ?? "");
        const path = checkPath(clusterTrustBundle.path);
        files.push({ path, content, ...tokenAccess(context.pod, mode) });
      }
      if (podCertificate) {
        const access = tokenAccess(context.pod, mode);
        const found = certificateFiles(podCertificate, sources.certificates?.[certificates++]);
        files.push(...found.map((file) => ({ ...file, ...access })));
      }
    }
    // A later source replaces an earlier one's file.
    return { kind: "files", medium: "memory", files: [...new Map(files.map((f) => [f.path, f])).values()] };
  },
});
