/** One row of the table of everything Kubernetes serves (`generated/resources.ts`). */
export interface ServedResource {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly subresources: Readonly<
    Record<string, { kind: string; group: string; version: string; verbs: readonly string[] }>
  >;
}
