/** ClusterTrustBundle: certificates to trust. https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/cluster-trust-bundle-v1beta1/ */
import { X509Certificate } from "node:crypto";
import { immutable } from "../core/pod-spec/template.ts";
import type { certificatesv1beta1 } from "../generated/types/index.ts";
import { column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { type FieldError, invalid, tooLong } from "../meta/field-error.ts";
import { invalidEach } from "../validation/checks.ts";
import { signerNameErrors, trustBundleNameErrors } from "../validation/signer-name.ts";
import { type PemBlock, pemBlocks } from "./pem.ts";

type Bundle = Readonly<certificatesv1beta1.ClusterTrustBundle>;

const bundleMaxBytes = 1024 * 1024;
const field = "spec.trustBundle";

function validateBundle({ metadata, spec }: Bundle): FieldError[] {
  const { name = "" } = metadata;
  const signer = spec.signerName ?? "";
  return [
    ...(name ? invalidEach("metadata.name", name, trustBundleNameErrors(name, signer)) : []),
    ...(signer ? signerNameErrors(signer, "spec.signerName") : []),
  ];
}

function validateAnchors({ spec }: Bundle): FieldError[] {
  const text = spec.trustBundle ?? "";
  if (Buffer.byteLength(text) > bundleMaxBytes) return [tooLong(field, bundleMaxBytes)];
  const blocks = pemBlocks(text);
  const fault = (detail: string) => invalid(field, "<value omitted>", detail);
  const errors = blocks.flatMap((block, i) => anchorErrors(block, i).map(fault));
  if (errors.length > 0) return errors;
  if (blocks.length === 0) return [fault("at least one trust anchor must be provided")];
  const places = new Map<string, number[]>();
  for (const [i, { bytes }] of blocks.entries()) {
    const key = bytes.toString("base64");
    places.set(key, [...(places.get(key) ?? []), i]);
  }
  return [...places.values()]
    .filter((indices) => indices.length > 1)
    .map((indices) => fault(`duplicate trust anchor (indices [${indices.join(" ")}])`));
}

function anchorErrors({ type, hasHeaders, bytes }: PemBlock, i: number): string[] {
  if (type !== "CERTIFICATE") return [`entry ${i} has bad block type: ${type}`];
  if (hasHeaders) return [`entry ${i} has PEM block headers`];
  try {
    return new X509Certificate(bytes).ca ? [] : [`entry ${i} does not have the CA bit set`];
  } catch {
    return [`entry ${i} does not parse as X.509`];
  }
}

export const clusterTrustBundles = defineResource<certificatesv1beta1.ClusterTrustBundle>({
  group: "certificates.k8s.io",
  version: "v1beta1",
  resource: "clustertrustbundles",
  kind: "ClusterTrustBundle",
  typeName: "io.k8s.api.certificates.v1beta1.ClusterTrustBundle",
  namespaced: false,
  // The signer is part of the name: it is checked with the object.
  validateName: () => [],
  defaults(bundle) {
    bundle.spec ??= { trustBundle: "" };
  },
  validate: (bundle) => [...validateBundle(bundle), ...validateAnchors(bundle)],
  validateUpdate: (bundle, old) => [
    ...validateBundle(bundle),
    ...(bundle.spec.trustBundle === old.spec.trustBundle ? [] : validateAnchors(bundle)),
    ...immutable(bundle.spec.signerName ?? "", old.spec.signerName ?? "", "spec.signerName"),
  ],
  selectableFields: { "spec.signerName": ({ spec }) => spec.signerName ?? "" },
  columns: [
    nameColumn(),
    column(
      "SignerName",
      "string",
      "Whose certificates it trusts.",
      ({ spec }) => spec?.signerName || "<none>",
    ),
  ],
});

export const clusterTrustBundlesV1alpha1 = defineVersion(clusterTrustBundles, {
  version: "v1alpha1",
  typeName: "io.k8s.api.certificates.v1alpha1.ClusterTrustBundle",
});
