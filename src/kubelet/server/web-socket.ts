/** Accepts WebSocket clients on the kubelet's own connections. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { HttpError } from "./request.ts";

/** Upstream's own limit of one message. */
const messageMaxBytes = 32 * 1024 * 1024;
const handshakeVersion = "13";

export function isWebSocket(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === "websocket";
}

export function offeredProtocols(request: IncomingMessage): string[] {
  const offered = request.headers["sec-websocket-protocol"] ?? "";
  return offered
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

/** Before anything is begun for the client. */
export function checkHandshake(request: IncomingMessage): void {
  if (request.method !== "GET") throw new HttpError(405, "WebSocket begins with GET");
  if (request.headers["sec-websocket-version"] !== handshakeVersion)
    throw new HttpError(400, "WebSocket of version 13 only");
  if (!/^[+/0-9A-Za-z]{22}==$/.test(request.headers["sec-websocket-key"] ?? ""))
    throw new HttpError(400, "Sec-WebSocket-Key is missing or malformed");
}

/**
 * The client's WebSocket, paused, after `checkHandshake`; undefined when the client has gone meanwhile. `ws` would
 * refuse the name of the tunnel protocol for its slash, so it is kept from seeing names.
 */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: string,
): WebSocket | undefined {
  const server = new WebSocketServer({ noServer: true, maxPayload: messageMaxBytes, clientTracking: false });
  if (protocol) server.on("headers", (lines) => lines.push(`Sec-WebSocket-Protocol: ${protocol}`));
  delete request.headers["sec-websocket-protocol"];
  let accepted: WebSocket | undefined;
  // Calls back before it returns, or not at all.
  server.handleUpgrade(request, socket, head, (client) => {
    client.pause();
    accepted = client;
  });
  return accepted;
}
