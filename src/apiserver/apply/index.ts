export {
  applyTo,
  canonicalOwners,
  layOver,
  type ManagedKind,
  type ManagedWrite,
  trackUpdate,
} from "./field-manager.ts";
export { ownersOfReplicas, ownersWithReplicas } from "./scale-owners.ts";
