/** How a PodCertificateRequest ends: issued, denied or failed, once. https://github.com/kubernetes/enhancements/tree/master/keps/sig-auth/4317-pod-certificates */
import { type KeyObject, X509Certificate } from "node:crypto";
import { sameJson } from "../core/pod-spec/template.ts";
import type { certificatesv1beta1 } from "../generated/types/index.ts";
import { type FieldError, invalid, notSupported, required, tooLong } from "../meta/field-error.ts";
import { formatTime, parseTime } from "../meta/time.ts";
import { validateConditions } from "../validation/conditions.ts";
import { pemBlocks } from "./pem.ts";
import { parseSigningRequest, publicKeyOf } from "./pkcs10.ts";

type Request = Readonly<certificatesv1beta1.PodCertificateRequest>;
type Status = Readonly<certificatesv1beta1.PodCertificateRequestStatus>;

const ends = ["Issued", "Denied", "Failed"];
const chainField = "status.certificateChain";
const chainMaxBytes = 100 * 1024;
const minuteMs = 60_000;
const lifetimeMinMs = 60 * minuteMs;
const refreshMarginMs = 10 * minuteMs;

export function stateOf({ status }: Request): string {
  return (
    status?.conditions?.find(({ type, status: is }) => ends.includes(type) && is === "True")?.type ??
    "Pending"
  );
}

/** An error that shows no value. */
function fault(field: string, detail: string): FieldError {
  return { type: "FieldValueInvalid", field, message: `Invalid value: ${detail}` };
}

export function validateCertificateStatus(request: Request, old: Request): FieldError[] {
  const status = request.status ?? {};
  const before = old.status ?? {};
  const conditions = conditionErrors(status);
  if (conditions.length > 0) return conditions;
  const isSame = sameJson(status, before);
  if (stateOf(old) !== "Pending")
    return isSame
      ? []
      : [fault("status", "immutable after PodCertificateRequest is issued, denied, or failed")];
  switch (stateOf(request)) {
    case "Denied":
    case "Failed": {
      const { conditions: _, ...others } = status;
      const detail =
        "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
      return Object.keys(others).length > 0 ? [fault("status", detail)] : [];
    }
    case "Issued":
      return validateIssued(status, old);
    default: {
      const detail = 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"';
      return isSame ? [] : [fault("status", detail)];
    }
  }
}

function conditionErrors({ conditions = [] }: Status): FieldError[] {
  const errors: FieldError[] = [];
  let count = 0;
  for (const [i, { type, status }] of conditions.entries()) {
    const at = `status.conditions[${i}]`;
    if (!ends.includes(type)) {
      errors.push(notSupported(`${at}.type`, type ?? "", ends));
      continue;
    }
    if (++count > 1) {
      const detail = 'There may be at most one condition with type "Issued", "Denied", or "Failed"';
      errors.push(invalid(`${at}.type`, type, detail));
    }
    if (status !== "True") errors.push(notSupported(`${at}.status`, status ?? "", ["True"]));
  }
  return [...errors, ...validateConditions(conditions, "status.conditions")];
}

function parsed(bytes: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(bytes);
  } catch {
    return undefined;
  }
}

/** At most the first thing that is wrong: the others rely on it. */
function validateIssued(status: Status, old: Request): FieldError[] {
  const chain = status.certificateChain ?? "";
  const wrong = (detail: string) => [invalid(chainField, chain, detail)];
  if (Buffer.byteLength(chain) > chainMaxBytes) return [tooLong(chainField, chainMaxBytes)];
  const [leafBlock, ...others] = pemBlocks(chain);
  if (!leafBlock) return wrong("issued certificate chain must contain at least one certificate");
  if (leafBlock.type !== "CERTIFICATE" || others.some(({ type }) => type !== "CERTIFICATE"))
    return wrong("issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
  const leaf = parsed(leafBlock.bytes);
  if (!leaf) return wrong("leaf certificate does not parse as valid X.509");
  const key = requestedKey(old);
  if (!key?.equals(leaf.publicKey))
    return wrong("leaf certificate was not issued to the requested public key");
  const times = validateTimes(status, leaf, old.spec.maxExpirationSeconds ?? 0);
  if (times.length > 0) return times;
  return others.every(({ bytes }) => parsed(bytes))
    ? []
    : wrong("intermediate certificate does not parse as valid X.509");
}

function requestedKey({ spec }: Request): KeyObject | undefined {
  try {
    return spec.stubPKCS10Request
      ? parseSigningRequest(Buffer.from(spec.stubPKCS10Request, "base64")).publicKey
      : publicKeyOf(Buffer.from(spec.pkixPublicKey ?? "", "base64"));
  } catch {
    return undefined;
  }
}

function validateTimes(status: Status, leaf: X509Certificate, maxSeconds: number): FieldError[] {
  const rules = {
    notBefore: "must be present and consistent with the issued certificate",
    notAfter: "must be present and consistent with the issued certificate",
    beginRefreshAt: "must be present and in the range [notbefore+10min, notafter-10min]",
  } as const;
  const names = Object.keys(rules) as (keyof typeof rules)[];
  const absent = names.filter((name) => status[name] === undefined);
  if (absent.length > 0) return absent.map((name) => required(`status.${name}`, rules[name]));
  const [from, to] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)];
  const wrong = (name: keyof typeof rules, detail: string) => [
    invalid(`status.${name}`, status[name], detail),
  ];
  if (status.notBefore !== formatTime(from))
    return wrong("notBefore", "must be set to the NotBefore time encoded in the leaf certificate");
  if (status.notAfter !== formatTime(to))
    return wrong("notAfter", "must be set to the NotAfter time encoded in the leaf certificate");
  if (to - from < lifetimeMinMs)
    return [invalid(chainField, durationText(to - from), "leaf certificate lifetime must be >= 1 hour")];
  if (to - from > maxSeconds * 1000) {
    const detail = `leaf certificate lifetime must be <= spec.maxExpirationSeconds (${maxSeconds})`;
    return [invalid(chainField, durationText(to - from), detail)];
  }
  const refresh = parseTime(status.beginRefreshAt ?? "") ?? 0;
  if (refresh < from + refreshMarginMs)
    return wrong("beginRefreshAt", "must be at least 10 minutes after status.notBefore");
  if (refresh > to - refreshMarginMs)
    return wrong("beginRefreshAt", "must be at least 10 minutes before status.notAfter");
  return [];
}

/** `1h30m0s`. */
function durationText(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  const [hours, minutes] = [Math.trunc(seconds / 3600), Math.trunc(seconds / 60) % 60];
  return `${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${seconds % 60}s`;
}
