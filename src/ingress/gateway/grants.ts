/** Who may refer to objects of other namespaces. https://gateway-api.sigs.k8s.io/api-types/referencegrant/ */
import { gatewayGroup, type ReferenceGrant } from "./types.ts";

export interface Reference {
  /** Of the Gateway API. */
  fromKind: string;
  fromNamespace: string;
  /** Of the core group. */
  toKind: string;
  toNamespace: string;
  toName: string;
}

/** Inside a namespace everything may be referred to. */
export function isGranted(grants: readonly Readonly<ReferenceGrant>[], reference: Reference): boolean {
  const { fromKind, fromNamespace, toKind, toNamespace, toName } = reference;
  if (fromNamespace === toNamespace) return true;
  return grants.some(({ metadata, spec }) => {
    if (metadata.namespace !== toNamespace) return false;
    const from = spec.from.some(
      ({ group, kind, namespace }) =>
        group === gatewayGroup && kind === fromKind && namespace === fromNamespace,
    );
    return (
      from &&
      spec.to.some(({ group, kind, name }) => !group && kind === toKind && (name ?? toName) === toName)
    );
  });
}
