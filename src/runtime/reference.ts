/**
 * Names of images made whole, as container runtimes do it.
 * https://github.com/distribution/reference
 */

/** `web` → `docker.io/library/web:latest`; `quay.io/a/b@sha256:…` stays. */
export function normalizeReference(name: string): string {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const hasDomain = first.includes(".") || first.includes(":") || first === "localhost";
  const domain = hasDomain ? (first === "index.docker.io" ? "docker.io" : first) : "docker.io";
  let path = hasDomain ? name.slice(slash + 1) : name;
  if (domain === "docker.io" && !path.includes("/")) path = `library/${path}`;
  const tagged = path.includes("@") || /:[\w][\w.-]{0,127}$/.test(path);
  return `${domain}/${path}${tagged ? "" : ":latest"}`;
}

const pathPart = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const domainPart = "(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)";
const domain = `(?:${domainPart}(?:\\.${domainPart})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?`;
const grammar = new RegExp(
  `^(?:${domain}/)?${pathPart}(?:/${pathPart})*(?::[\\w][\\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,})?$`,
);

/** False for what no registry would take: the kubelet answers `InvalidImageName`. */
export function isReference(name: string): boolean {
  return name.length <= 512 && grammar.test(name);
}
