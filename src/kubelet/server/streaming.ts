/**
 * exec, attach and port-forward: the runtime serves them; the kubelet joins the client's upgraded connection to the
 * runtime's, byte for byte, so SPDY and WebSocket both pass.
 */
import type { IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import {
  booleanParameter,
  findContainer,
  findPod,
  HttpError,
  numberParameter,
  pathParts,
  type Serving,
} from "./request.ts";

async function streamingUrl(serving: Serving, url: URL): Promise<string> {
  const { runtime } = serving.context;
  const verb = url.pathname.split("/")[1];
  const [namespace, name, ...rest] = pathParts(url);
  const target = await findPod(serving, namespace, name);
  if (verb === "portForward") {
    const sandbox = target.state.sandboxes.find((s) => s.state === "SANDBOX_READY");
    if (!sandbox) throw new HttpError(400, `pod ${name} is not running`);
    const port = numberParameter(url, "port", 1);
    return runtime.portForward(sandbox.id, port === undefined ? [] : [port]);
  }
  const container = findContainer(target, rest.at(-1) ?? "", false);
  if (container.state !== "CONTAINER_RUNNING")
    throw new HttpError(400, `container ${container.name} is not running`);
  const tty = booleanParameter(url, "tty");
  const options = {
    stdin: booleanParameter(url, "input", "stdin"),
    stdout: booleanParameter(url, "output", "stdout"),
    // A terminal has one output.
    stderr: !tty && booleanParameter(url, "error", "stderr"),
    tty,
  };
  if (verb === "attach") {
    const spec = [...target.pod.spec.containers, ...(target.pod.spec.initContainers ?? [])].find(
      (c) => c.name === container.name,
    );
    const terminal = spec?.tty ?? false;
    return runtime.attach(container.id, { ...options, tty: terminal, stderr: options.stderr && !terminal });
  }
  if (verb !== "exec") throw new HttpError(404, "404 page not found");
  const command = url.searchParams.getAll("command");
  if (command.length === 0) throw new HttpError(400, "you must specify at least 1 command for the container");
  return runtime.exec(container.id, command, options);
}

/** Joins two connections; when one ends, so does the other. */
function join(a: Duplex, b: Duplex): void {
  const end = () => {
    a.destroy();
    b.destroy();
  };
  a.on("error", end).on("close", end);
  b.on("error", end).on("close", end);
  a.pipe(b);
  b.pipe(a);
}

const hopHeaders = new Set(["host", "authorization"]);

export async function serveStream(
  serving: Serving,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  url: URL,
): Promise<void> {
  socket.on("error", () => socket.destroy());
  const target = new URL(await streamingUrl(serving, url));
  const upstream: Socket = connect({
    host: target.hostname.replace(/^\[|\]$/g, ""),
    port: Number(target.port),
  });
  await new Promise<void>((resolve, reject) => {
    upstream.once("connect", resolve);
    upstream.once("error", reject);
  });
  const lines = [`${request.method} ${target.pathname}${target.search} HTTP/1.1`, `Host: ${target.host}`];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i]!;
    if (!hopHeaders.has(name.toLowerCase())) lines.push(`${name}: ${request.rawHeaders[i + 1]}`);
  }
  upstream.write(`${lines.join("\r\n")}\r\n\r\n`);
  if (head.length > 0) upstream.write(head);
  join(socket, upstream);
}
