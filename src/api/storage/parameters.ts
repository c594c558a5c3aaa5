/** What classes of volumes have in common. https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/storage/validation/validation.go */
import { type FieldError, invalid, required, tooLong } from "../meta/field-error.ts";
import { qualifiedNameErrors } from "../validation/names.ts";

const bytesMax = 256 * 1024;
const countMax = 512;

export function validateProvisioner(provisioner: string | undefined, field: string): FieldError[] {
  if (!provisioner) return [required(field)];
  return qualifiedNameErrors(provisioner.toLowerCase()).map((e) =>
    invalid(field, provisioner.toLowerCase(), e),
  );
}

export function validateParameters(
  parameters: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  const entries = Object.entries(parameters ?? {});
  if (entries.length > countMax) return [tooLong(field, countMax)];
  const errors: FieldError[] = [];
  if (entries.some(([key]) => key === "")) errors.push(invalid(field, "", "field can not be empty."));
  if (bytesOf(entries) > bytesMax) errors.push(tooLong(field, bytesMax));
  return errors;
}

function bytesOf(entries: readonly (readonly [string, string])[]): number {
  return entries.reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
}

/** What drivers say of a volume they attached. */
export function validateMetadata(
  metadata: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  return bytesOf(Object.entries(metadata ?? {})) > bytesMax ? [tooLong(field, bytesMax)] : [];
}
