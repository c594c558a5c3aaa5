/** Several sources in one volume. https://kubernetes.io/docs/concepts/storage/projected-volumes/ */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../../meta/field-error.ts";
import { validateLabelSelector } from "../../meta/label-selector.ts";
import { invalidEach, requiredTexts } from "../../validation/checks.ts";
import {
  signerNameErrors,
  signerOfTrustBundle,
  trustBundleNameErrors,
} from "../../validation/signer-name.ts";
import { reservedPathErrors } from "./validate-mounts.ts";
import { downwardErrors, keyErrors } from "./volume-files.ts";

const tokenSecondsMin = 600;
const tokenSecondsMax = 2 ** 32;
const keyTypes = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
const certificateSecondsMin = 3600;
const certificateSecondsMax = 91 * 24 * 3600;

type Projection = Readonly<corev1.VolumeProjection>;

export function validateProjections(sources: readonly Projection[], path: string): FieldError[] {
  const taken = new Set<string>();
  return sources.flatMap((source, i) => {
    const at = `${path}.sources[${i}]`;
    const errors = projectionErrors(source, at, path);
    for (const [file, value] of filesOf(source)) {
      if (taken.has(file)) errors.push(invalid(path, value, "conflicting duplicate paths"));
      taken.add(file);
    }
    if (Object.values(source).filter((one) => one !== undefined).length > 1)
      errors.push(forbiddenField(at, "may not specify more than 1 volume type"));
    return errors;
  });
}

/** The files that a source makes, and what is blamed when two sources make the same. */
function filesOf(source: Projection): (readonly [string, string])[] {
  const named = (items: readonly corev1.KeyToPath[] | undefined, name: string | undefined) =>
    (items ?? []).filter((item) => item.path).map((item) => [item.path, name ?? ""] as const);
  const own = [
    ...(source.downwardAPI?.items ?? []).map((item) => item.path),
    source.clusterTrustBundle?.path,
    source.podCertificate?.credentialBundlePath,
    source.podCertificate?.keyPath,
    source.podCertificate?.certificateChainPath,
  ];
  return [
    ...named(source.secret?.items, source.secret?.name),
    ...named(source.configMap?.items, source.configMap?.name),
    ...own.flatMap((file) => (file ? [[file, file] as const] : [])),
  ];
}

function projectionErrors(source: Projection, at: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const kind of ["secret", "configMap"] as const) {
    const from = source[kind];
    if (!from) continue;
    errors.push(...requiredTexts(from, `${at}.${kind}`, ["name"]), ...keyErrors(from.items, `${at}.${kind}`));
  }
  for (const item of source.downwardAPI?.items ?? [])
    errors.push(...downwardErrors(item, `${at}.downwardAPI`));
  if (source.serviceAccountToken)
    errors.push(...tokenErrors(source.serviceAccountToken, `${at}.serviceAccountToken`, path));
  if (source.clusterTrustBundle)
    errors.push(...bundleErrors(source.clusterTrustBundle, `${at}.clusterTrustBundlePEM`));
  if (source.podCertificate) errors.push(...certificateErrors(source.podCertificate, `${at}.podCertificate`));
  return errors;
}

function tokenErrors(
  token: Readonly<corev1.ServiceAccountTokenProjection>,
  at: string,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const seconds = token.expirationSeconds ?? 3600;
  const field = `${at}.expirationSeconds`;
  if (seconds < tokenSecondsMin)
    errors.push(invalid(field, seconds, "may not specify a duration less than 10 minutes"));
  if (seconds > tokenSecondsMax)
    errors.push(invalid(field, seconds, "may not specify a duration larger than 2^32 seconds"));
  if (!token.path) errors.push(required(`${path}.path`));
  else errors.push(...reservedPathErrors(token.path, `${path}.path`));
  return errors;
}

function bundleErrors(bundle: Readonly<corev1.ClusterTrustBundleProjection>, at: string): FieldError[] {
  const { name, signerName, labelSelector } = bundle;
  const errors: FieldError[] = [];
  if (name !== undefined && signerName !== undefined) {
    errors.push(invalid(at, bundle, "only one of name and signerName may be used"));
  } else if (name !== undefined) {
    if (!name) errors.push(required(`${at}.name`, "must be a valid object name"));
    for (const e of trustBundleNameErrors(name, signerOfTrustBundle(name)))
      errors.push(invalid(`${at}.name`, name, `not a valid clustertrustbundlename: ${e}`));
    if (labelSelector) {
      const detail = "labelSelector must be unset if name is specified";
      errors.push(invalid(`${at}.labelSelector`, labelSelector, detail));
    }
  } else if (signerName !== undefined) {
    if (!signerName) errors.push(required(`${at}.signerName`, "must be a valid signer name"));
    errors.push(...signerNameErrors(signerName, `${at}.signerName`));
    errors.push(...validateLabelSelector(labelSelector, `${at}.labelSelector`));
  } else errors.push(required(at, "either name or signerName must be specified"));
  return [
    ...errors,
    ...requiredTexts(bundle, at, ["path"]),
    ...reservedPathErrors(bundle.path ?? "", `${at}.path`),
  ];
}

function certificateErrors(source: Readonly<corev1.PodCertificateProjection>, at: string): FieldError[] {
  const errors = signerNameErrors(source.signerName ?? "", `${at}.signerName`);
  if (!keyTypes.includes(source.keyType))
    errors.push(notSupported(`${at}.keyType`, source.keyType ?? "", keyTypes));
  const seconds = source.maxExpirationSeconds;
  if (seconds !== undefined && (seconds < certificateSecondsMin || seconds > certificateSecondsMax)) {
    const detail = `must be in the range [${certificateSecondsMin}, ${certificateSecondsMax}]`;
    errors.push(...invalidEach(`${at}.maxExpirationSeconds`, seconds, [detail]));
  }
  const files = (["credentialBundlePath", "keyPath", "certificateChainPath"] as const).filter(
    (name) => source[name],
  );
  if (files.length === 0) {
    const detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
    errors.push(required(at, detail));
  }
  return [...errors, ...files.flatMap((name) => reservedPathErrors(source[name]!, `${at}.${name}`))];
}
