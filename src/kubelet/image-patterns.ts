/**
 * Places that images lie in, as logins and programs name them.
 * https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/#configure-image-matching
 */
import { normalizeReference, registryOf } from "#contracts";

/** Whether `image` lies where the pattern says: host parts may have stars, the port is the same, the path begins so. */
export function matchesImage(pattern: string, image: string): boolean {
  const [host = "", ...path] = pattern.replace(/^https?:\/\//, "").split("/");
  const [name = "", port = ""] = host.split(":");
  const [registry = "", registryPort = ""] = registryOf(image).split(":");
  const [wanted, actual] = [name.split("."), registry.split(".")];
  const fits = (part: string, other: string) =>
    new RegExp(`^${part.split("*").map(escaped).join("[^.]*")}$`).test(other);
  return (
    port === registryPort &&
    wanted.length === actual.length &&
    wanted.every((part, i) => fits(part, actual[i]!)) &&
    normalizeReference(image)
      .slice(registryOf(image).length + 1)
      .startsWith(path.join("/"))
  );
}

const escaped = (text: string) => text.replaceAll(/[^\w-]/g, (c) => `\\${c}`);

/** `quay.io/org/app`: what logins are given for. */
export function repositoryOf(image: string): string {
  const name = normalizeReference(image).split("@")[0]!;
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
}
