/**
 * Every pod runs as a service account and, unless it says no, finds its token mounted.
 * https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-admission-controller
 */
import { copyOf, type corev1, forbidden, pods, type ResourceDefinition, serviceAccounts } from "#api";
import type { Storage } from "../registry/storage.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";

const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
const mirrorAnnotation = "kubernetes.io/config.mirror";
/** A namespace that has just been made gets its account in a moment. */
const waitMs = 1000;
/** Just over an hour, so that a token of this kind is told from one that was asked for an hour. */
const tokenSeconds = 3607;
const suffixLength = 5;

export function serviceAccount(storage: Storage): AdmissionStep {
  const definition = serviceAccounts as ResourceDefinition;
  return {
    name: "ServiceAccount",
    prepare(attributes) {
      const pod = newPodOf(attributes);
      if (!pod) return undefined;
      const name = pod.spec.serviceAccountName || "default";
      if (storage.find(definition, attributes.namespace, name)) return undefined;
      return waitFor(storage, () => storage.find(definition, attributes.namespace, name) !== undefined);
    },
    mutate(attributes) {
      const pod = newPodOf(attributes);
      if (!pod) return;
      const { spec } = pod;
      spec.serviceAccountName ||= "default";
      spec.serviceAccount = spec.serviceAccountName;
      const found = storage.find(definition, attributes.namespace, spec.serviceAccountName);
      if (!found) {
        const why = `error looking up service account ${attributes.namespace}/${spec.serviceAccountName}: serviceaccount "${spec.serviceAccountName}" not found`;
        throw forbidden(pods, attributes.name, why);
      }
      const account = found.read() as corev1.ServiceAccount;
      if (!spec.imagePullSecrets?.length && account.imagePullSecrets?.length) {
        spec.imagePullSecrets = copyOf(account.imagePullSecrets);
      }
      const mounts = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
      if (mounts) mountToken(pod, storage.world.random.suffix(suffixLength));
    },
  };
}

/** Pods that stand for a node's own static pods have no account. */
function newPodOf({ operation, definition, object }: Attributes): corev1.Pod | undefined {
  if (operation !== "CREATE" || definition !== (pods as ResourceDefinition)) return undefined;
  return object?.metadata.annotations?.[mirrorAnnotation] === undefined ? (object as corev1.Pod) : undefined;
}

function waitFor(storage: Storage, isThere: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      timer.cancel();
      stop();
      resolve();
    };
    const timer = storage.world.clock.after(waitMs, done);
    const stop = storage.cache(serviceAccounts as ResourceDefinition).listen(() => {
      if (isThere()) done();
    });
  });
}

function mountToken({ spec }: corev1.Pod, suffix: string): void {
  const name = `kube-api-access-${suffix}`;
  let isUsed = false;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    if (container.volumeMounts?.some((m) => m.mountPath === mountPath)) continue;
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath }];
    isUsed = true;
  }
  if (isUsed) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function tokenVolume(name: string): corev1.Volume {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenSeconds, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        {
          downwardAPI: {
            items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
          },
        },
      ],
    },
  };
}
