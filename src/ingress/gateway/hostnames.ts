/**
 * Names that a listener and a route have in common; a wildcard stands for one label or more.
 * https://gateway-api.sigs.k8s.io/reference/spec/#httproutespec
 */

/** `host` is a name, a wildcard, or "" for every name. Answers the narrower of two that meet. */
function common(a: string, b: string): string | undefined {
  if (!a || a === b) return b;
  if (!b) return a;
  if (covers(a, b)) return b;
  return covers(b, a) ? a : undefined;
}

function covers(wildcard: string, host: string): boolean {
  return wildcard.startsWith("*.") && host.endsWith(wildcard.slice(1)) && host !== wildcard.slice(1);
}

/** Without names of its own a route takes those of the listener. Empty: they never meet. */
export function commonHostnames(
  listener: string | undefined,
  route: readonly string[] | undefined,
): string[] {
  const own = route?.length ? route : [""];
  const found = own.map((host) => common(lower(listener), lower(host)));
  return [...new Set(found.filter((host) => host !== undefined))];
}

/** As sites are named: `**` is any number of labels. */
export function siteOf(host: string | undefined): string {
  return lower(host).replace(/^\*\./, "**.");
}

function lower(host: string | undefined): string {
  return host?.toLowerCase() ?? "";
}
