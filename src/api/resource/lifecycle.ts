/** Until when the group's beta versions are served. https://kubernetes.io/docs/reference/using-api/deprecation-policy/ */

const releases = {
  v1beta1: "deprecated in v1.35+, unavailable in v1.38+",
  v1beta2: "deprecated in v1.36+, unavailable in v1.39+",
} as const;

export function deprecationOf(version: keyof typeof releases, kind: string): string {
  return `resource.k8s.io/${version} ${kind} is ${releases[version]}`;
}
