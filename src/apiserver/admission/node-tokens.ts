/**
 * A node asks for tokens of the accounts of its own pods, for those that a volume of the pod or its driver speaks to;
 * others need the verb `request-serviceaccounts-token-audience`.
 * https://kubernetes.io/docs/reference/access-authn-authz/node/#service-account-token-audience-restriction
 */
import {
  type authenticationv1,
  type corev1,
  csiDrivers,
  notFound,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  type ResourceDefinition,
  serviceAccounts,
  type storagev1,
} from "#api";
import type { Authorizer } from "../authorization/authorizer.ts";
import type { Storage } from "../registry/storage.ts";
import type { Attributes } from "./admission.ts";

export function tokenRefusal(
  storage: Storage,
  authorizer: Authorizer,
  node: string,
  { definition, subresource, namespace, name, object, user }: Attributes,
): string | undefined {
  if (definition !== (serviceAccounts as ResourceDefinition) || subresource !== "token") return undefined;
  const { boundObjectRef: bound, audiences = [] } =
    (object as Partial<authenticationv1.TokenRequest>).spec ?? {};
  if (bound?.apiVersion !== "v1" || bound.kind !== "Pod" || !bound.name)
    return "node requested token not bound to a pod";
  if (!bound.uid) return "node requested token with a pod binding without a uid";
  const pod = storage.find(pods as ResourceDefinition, namespace, bound.name)?.parse() as
    | corev1.Pod
    | undefined;
  if (!pod) throw notFound(pods as ResourceDefinition, bound.name);
  if (bound.uid !== pod.metadata.uid)
    return `the UID in the bound object reference (${bound.uid}) does not match the UID in record. The object might have been deleted and then recreated`;
  if (pod.spec.nodeName !== node) return "node requested token bound to a pod scheduled on a different node";
  if (audiences.length > 1) return "node may only request 0 or 1 audiences";
  const audience = audiences[0] ?? "";
  if (speaksTo(storage, pod, audience)) return undefined;
  const resource = {
    group: "",
    version: "v1",
    resource: audience,
    subresource: "",
    namespace: namespace ?? "",
    name,
  };
  const verb = "request-serviceaccounts-token-audience";
  if (authorizer.authorize({ user, verb, path: "", resource }).allowed) return undefined;
  return `audience ${JSON.stringify(audience)} not found in pod spec volume, ${user.username} is not authorized to request tokens for this audience`;
}

/** Whether a token volume of the pod, or the CSI driver of one of its volumes, asks for the audience. */
function speaksTo(storage: Storage, pod: Readonly<corev1.Pod>, audience: string): boolean {
  return (pod.spec.volumes ?? []).some((volume) => {
    const tokens = (volume.projected?.sources ?? []).flatMap((source) => source.serviceAccountToken ?? []);
    if (tokens.some((token) => (token.audience ?? "") === audience)) return true;
    const driver = driverOf(storage, pod, volume);
    if (!driver) return false;
    const known = storage.find(csiDrivers as ResourceDefinition, undefined, driver)?.parse();
    const asked = (known as storagev1.CSIDriver | undefined)?.spec.tokenRequests ?? [];
    return asked.some((token) => token.audience === audience);
  });
}

function driverOf(
  storage: Storage,
  { metadata }: Readonly<corev1.Pod>,
  { name, csi, ephemeral, persistentVolumeClaim }: Readonly<corev1.Volume>,
): string | undefined {
  if (csi) return csi.driver;
  const claim = ephemeral?.volumeClaimTemplate
    ? `${metadata.name}-${name}`
    : persistentVolumeClaim?.claimName;
  if (!claim) return undefined;
  const found = storage
    .find(persistentVolumeClaims as ResourceDefinition, metadata.namespace, claim)
    ?.parse();
  const volume = (found as corev1.PersistentVolumeClaim | undefined)?.spec?.volumeName;
  if (!volume) return undefined;
  const known = storage.find(persistentVolumes as ResourceDefinition, undefined, volume)?.parse();
  return (known as corev1.PersistentVolume | undefined)?.spec?.csi?.driver;
}
