import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { createWorld, silentLogger } from "#base";
import type { ContainerRuntime } from "#contracts";
import { runHook } from "./lifecycle.ts";

/** What the hook came to, what the server was asked, and what was told of it. */
async function hookAt(action: Partial<corev1.HTTPGetAction>, status: number) {
  const asked: IncomingMessage["headers"][] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    response.writeHead(status).end("no");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const said: string[] = [];
  try {
    const failure = await runHook({
      handler: { httpGet: { port, ...action } },
      container: { name: "c" } as corev1.Container,
      containerId: "c1",
      podIp: "127.0.0.1",
      runtime: {} as ContainerRuntime,
      world: createWorld({ log: silentLogger }),
      signal: new AbortController().signal,
      timeoutMs: 10_000,
      say: (...words) => said.push(words.join(" ")),
    });
    return { failure, asked, said, port };
  } finally {
    server.close();
  }
}

test("a hook has done well when it was answered, whatever the answer", async () => {
  const { failure, asked, said } = await hookAt({}, 500);
  expect(failure).toBeUndefined();
  expect(asked).toHaveLength(1);
  expect(said).toEqual([]);
});

test("a hook over TLS whose server has none is asked without, and without its secret", async () => {
  const httpHeaders = [
    { name: "authorization", value: "Bearer x" },
    { name: "X-Kept", value: "y" },
  ];
  const { failure, asked, said, port } = await hookAt({ scheme: "HTTPS", httpHeaders }, 200);
  expect(failure).toBeUndefined();
  expect(asked).toHaveLength(1);
  expect(asked[0]).toMatchObject({ "x-kept": "y" });
  expect(asked[0]).not.toHaveProperty("authorization");
  expect(said).toEqual([
    `Warning LifecycleHTTPFallback request to HTTPS lifecycle hook 127.0.0.1:${port} got HTTP response, retry with HTTP succeeded`,
  ]);
});

test("nobody who answers is a failure", async () => {
  const { failure } = await hookAt({ port: 1 }, 200);
  expect(failure).toContain("connection refused");
});
