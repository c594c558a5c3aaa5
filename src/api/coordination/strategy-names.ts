/** How the holder of a lease is chosen. https://kubernetes.io/docs/concepts/cluster-administration/coordinated-leader-election/ */
import { type FieldError, invalid, notSupported } from "../meta/field-error.ts";
import { qualifiedNameErrors } from "../validation/names.ts";

export const oldestEmulationVersion = "OldestEmulationVersion";

/** Upstream names the field twice. */
export function validateLeaseStrategy(strategy: string): FieldError[] {
  const field = "spec.strategy.strategy";
  if (strategy.includes("/")) return qualifiedNameErrors(strategy).map((e) => invalid(field, strategy, e));
  return strategy === oldestEmulationVersion ? [] : [notSupported(field, strategy, [oldestEmulationVersion])];
}
