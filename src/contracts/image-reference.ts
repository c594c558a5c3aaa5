/**
 * Names of images made whole, as container runtimes do it.
 * https://github.com/distribution/reference
 */

/** The registry an image comes from, and its path there as it was written. */
function split(name: string): { registry: string; path: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const hasDomain = /[.:A-Z]/.test(first) || first === "localhost";
  if (!hasDomain) return { registry: "docker.io", path: name };
  return { registry: first === "index.docker.io" ? "docker.io" : first, path: name.slice(slash + 1) };
}

/** `quay.io` of `quay.io/a/b`; what names none comes from `docker.io`. */
export function registryOf(name: string): string {
  return split(name).registry;
}

/** `web` → `docker.io/library/web:latest`; `quay.io/a/b@sha256:…` stays. */
export function normalizeReference(name: string): string {
  const { registry, path } = split(name);
  const whole = registry === "docker.io" && !path.includes("/") ? `library/${path}` : path;
  const tagged = whole.includes("@") || /:[\w][\w.-]{0,127}$/.test(whole);
  return `${registry}/${whole}${tagged ? "" : ":latest"}`;
}

const pathPart = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const domainPart = "(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)";
const domain = `(?:${domainPart}(?:\\.${domainPart})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?`;
const grammar = new RegExp(
  `^(?:${domain}/)?${pathPart}(?:/${pathPart})*(?::[\\w][\\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,})?$`,
);

const pathMaxLength = 255;

/** Why no registry would take the name, in upstream's words; undefined for one that is good. */
export function referenceProblem(name: string): string | undefined {
  if (/^[a-f0-9]{64}$/.test(name))
    return `invalid repository name (${name}), cannot specify 64-byte hexadecimal strings`;
  const { registry, path } = split(name);
  const whole = registry === "docker.io" && !path.includes("/") ? `library/${path}` : path;
  const repository = whole.split(":", 1)[0]!;
  if (repository !== repository.toLowerCase())
    return `invalid reference format: repository name (${repository}) must be lowercase`;
  if (name.length > 1024 || !grammar.test(name)) return "invalid reference format";
  if (repository.split("@", 1)[0]!.length > pathMaxLength)
    return `repository name must not be more than ${pathMaxLength} characters`;
  return undefined;
}

/** False for what no registry would take: the kubelet answers `InvalidImageName`. */
export const isReference = (name: string): boolean => referenceProblem(name) === undefined;
