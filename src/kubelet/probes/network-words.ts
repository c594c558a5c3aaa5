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

/** Where the connection was, once it was one. */
interface Local {
  address?: string;
  port?: number;
}

const joined = (host = "", port = 0) => `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** What a TLS client makes of an answer without TLS. */
const plainAnswers = ["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_PACKET_LENGTH_TOO_LONG"];

/** Why an HTTP request got no answer: it could not connect, or the connection broke before the answer was there. */
export function exchangeWords(
  error: unknown,
  { hostname, port }: { hostname: string; port: number },
  local: Local,
): string {
  const code = codeOf(error) ?? "";
  const { syscall } = error as { syscall?: string };
  if (plainAnswers.includes(code)) return "http: server gave HTTP response to HTTPS client";
  if (syscall === "read" || syscall === "write") {
    const words =
      code === "EPIPE" ? "broken pipe" : code === "ECONNRESET" ? "connection reset by peer" : code;
    const way = `${joined(local.address, local.port)}->${joined(hostname, port)}`;
    return `${syscall} tcp ${way}: ${syscall}: ${words}`;
  }
  // Node's word for a connection that ended during the handshake.
  if (code === "ECONNRESET") return "EOF";
  return code.startsWith("ERR_") ? messageOf(error) : dialWords(error, hostname, port);
}
