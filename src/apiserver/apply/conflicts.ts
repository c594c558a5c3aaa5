/** The 409 of an apply that wants fields of others to be different. https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts */
import { StatusError } from "#api";
import { pathsOf } from "./field-set.ts";
import type { Manager } from "./managed-fields.ts";
import type { Conflict } from "./updater.ts";

/** As messages name an owner: `"kubectl" with subresource "scale" using apps/v1`. */
function described({ name, operation, apiVersion, subresource }: Manager): string {
  const through = subresource ? ` with subresource ${JSON.stringify(subresource)}` : "";
  return `${JSON.stringify(name)}${through}${operation === "Update" ? ` using ${apiVersion}` : ""}`;
}

/** More causes than anybody reads are counted, not listed. */
const causesMax = 1000;

export function conflictError(conflicts: readonly Conflict[]): StatusError {
  const sorted = conflicts
    .map(({ manager, set }) => ({ owner: described(manager), paths: pathsOf(set) }))
    .sort((a, b) => (a.owner < b.owner ? -1 : 1));
  const causes = sorted.flatMap(({ owner, paths }) =>
    paths.map((field) => ({ reason: "FieldManagerConflict", message: `conflict with ${owner}`, field })),
  );
  const listed = sorted.flatMap(({ owner, paths }) => [
    `conflicts with ${owner}:`,
    ...paths.map((path) => `- ${path}`),
  ]);
  const message =
    causes.length === 1
      ? `Apply failed with 1 conflict: ${causes[0]!.message}: ${causes[0]!.field}`
      : `Apply failed with ${causes.length} conflicts: ${listed.slice(0, causesMax).join("\n")}`;
  return StatusError.of(409, "Conflict", message, { causes: causes.slice(0, causesMax) });
}
