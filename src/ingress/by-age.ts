/** Where several objects want the same, the oldest has it; of those as old the first by namespace and name. */

interface Aged {
  readonly metadata: { creationTimestamp?: string; namespace?: string; name: string };
}

export function byAge({ metadata: a }: Aged, { metadata: b }: Aged): number {
  const key = (meta: Aged["metadata"]) => `${meta.creationTimestamp ?? ""} ${meta.namespace}/${meta.name}`;
  return key(a) < key(b) ? -1 : 1;
}
