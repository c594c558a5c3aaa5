/** Failures of the network in the words people know from upstream's events, and search for. */
import { codeOf, messageOf } from "#base";

const connecting: Record<string, string> = {
  ECONNREFUSED: "connect: connection refused",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  ECONNRESET: "connect: connection reset by peer",
  ETIMEDOUT: "i/o timeout",
};

/** `dial tcp 10.1.2.3:80: connect: connection refused` */
export function dialWords(error: unknown, host: string, port: number): string {
  const code = codeOf(error) ?? "";
  if (code === "ENOTFOUND") return `dial tcp: lookup ${host}: no such host`;
  const address = host.includes(":") ? `[${host}]` : host;
  return `dial tcp ${address}:${port}: ${connecting[code] ?? messageOf(error)}`;
}

/** Why a GET got no answer: it could not connect, or the connection ended before the answer did. */
export function getWords(error: unknown, url: URL): string {
  const code = codeOf(error) ?? "";
  const isDial = (error as { syscall?: string }).syscall === "connect" || code === "ENOTFOUND";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  const words = isDial ? dialWords(error, host, port) : code === "ECONNRESET" ? "EOF" : messageOf(error);
  return `Get "${url}": ${words}`;
}
