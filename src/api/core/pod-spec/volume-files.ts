/** The files that volumes put before containers: paths and modes. https://kubernetes.io/docs/concepts/storage/volumes/ */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, invalid, required } from "../../meta/field-error.ts";
import { requiredTexts } from "../../validation/checks.ts";
import { validateFieldRef, validateResourceFieldRef, volumeFieldPaths } from "./validate-env.ts";
import { reservedPathErrors } from "./validate-mounts.ts";

const modeDetail = "must be a number between 0 and 0777 (octal), both inclusive";

export function modeErrors(mode: number | undefined, field: string): FieldError[] {
  return mode !== undefined && (mode < 0 || mode > 0o777) ? [invalid(field, mode, modeDetail)] : [];
}

export function keyErrors(items: readonly corev1.KeyToPath[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, i) => {
    const at = `${path}.items[${i}]`;
    return [
      ...requiredTexts(item, at, ["key", "path"]),
      ...reservedPathErrors(item.path ?? "", `${at}.path`),
      ...modeErrors(item.mode, `${at}.mode`),
    ];
  });
}

/** Upstream names no index here. */
export function downwardErrors(item: Readonly<corev1.DownwardAPIVolumeFile>, at: string): FieldError[] {
  const errors = [...requiredTexts(item, at, ["path"]), ...reservedPathErrors(item.path ?? "", `${at}.path`)];
  if (item.fieldRef) {
    errors.push(...validateFieldRef(item.fieldRef, `${at}.fieldRef`, volumeFieldPaths));
    if (item.resourceFieldRef) {
      const detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
      errors.push(invalid(at, "resource", detail));
    }
  } else if (item.resourceFieldRef) {
    errors.push(...validateResourceFieldRef(item.resourceFieldRef, `${at}.resourceFieldRef`, true));
  } else errors.push(required(at, "one of fieldRef and resourceFieldRef is required"));
  return [...errors, ...modeErrors(item.mode, `${at}.mode`)];
}
