/** Selectors of devices, and parameters that only their driver understands. */
import type { metav1, resourcev1 } from "../generated/types/index.ts";
import { type FieldError, invalid, required, tooLong } from "../meta/field-error.ts";
import { validateList } from "../validation/lists.ts";
import { driverNameErrors } from "../validation/special-names.ts";

export const configurationsMax = 32;
const selectorsMax = 32;
const expressionMaxLength = 10 * 1024;
const parametersMaxLength = 10 * 1024;

/** Length only: what the expression says is found out where it is evaluated. */
export function validateSelectors(
  selectors: readonly resourcev1.DeviceSelector[] | undefined,
  path: string,
): FieldError[] {
  return validateList(selectors, selectorsMax, path, ({ cel }, at) => {
    if (!cel) return [required(`${at}.cel`)];
    const field = `${at}.cel.expression`;
    return Buffer.byteLength(cel.expression ?? "") > expressionMaxLength
      ? [tooLong(field, expressionMaxLength)]
      : [];
  });
}

/** A JSON object of the driver's own. */
export function validateRaw(
  raw: metav1.RawExtension | undefined,
  field: string,
  maxLength: number,
): FieldError[] {
  if (raw === undefined || raw === null) return [required(field)];
  if (Buffer.byteLength(JSON.stringify(raw)) > maxLength) return [tooLong(field, maxLength)];
  if (typeof raw === "object" && !Array.isArray(raw)) return [];
  return [invalid(field, "<value omitted>", "must be a valid JSON object")];
}

export function validateConfiguration(
  { opaque }: Readonly<{ opaque?: resourcev1.OpaqueDeviceConfiguration }>,
  at: string,
): FieldError[] {
  if (!opaque) return [required(`${at}.opaque`)];
  return [
    ...driverNameErrors(`${at}.opaque.driver`, opaque.driver ?? ""),
    ...validateRaw(opaque.parameters, `${at}.opaque.parameters`, parametersMaxLength),
  ];
}
