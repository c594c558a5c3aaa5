/** What a KubeletConfiguration changes of the kubelet's server, behind real sockets. */
import { request as httpsRequest } from "node:https";
import { expect, it, onTestFinished } from "vitest";
import { createWorld, silentLogger } from "#base";
import { createAuthority } from "../../src/distro/certificates.ts";
import { type KubeletServerOptions, startKubeletServer } from "../../src/kubelet/server/server.ts";

const world = createWorld({ log: silentLogger });

async function start(more: Partial<KubeletServerOptions>) {
  const authority = await createAuthority(world, "test");
  const server = await startKubeletServer({
    host: "127.0.0.1",
    port: 0,
    tls: await authority.issue({ commonName: "node", use: "server", addresses: ["127.0.0.1"] }),
    clientCa: authority.cert,
    world,
    context: {},
    workers: { list: () => [], sinceRelistMs: () => 0 },
    debugging: true,
    configuration: { maxPods: 3 },
    ...more,
  } as unknown as KubeletServerOptions);
  onTestFinished(() => server.stop());
  const admin = await authority.issue({
    commonName: "admin",
    organizations: ["system:masters"],
    use: "client",
  });
  const ask = (path: string, headers: Record<string, string> = {}) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const options = { host: "127.0.0.1", port: server.port, path, headers, ca: authority.cert, ...admin };
      const sent = httpsRequest({ ...options, agent: false }, (response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      });
      sent.on("error", reject).end();
    });
  return { server, authority, ask };
}

it("without debugging handlers nobody reads logs or enters containers", async () => {
  const { ask } = await start({ debugging: false });
  const refused = { status: 405, text: "Debug endpoints are disabled." };
  const upgrade = { connection: "Upgrade", upgrade: "SPDY/3.1" };
  for (const path of [
    "/containerLogs/default/web/main",
    "/runningpods/",
    "/exec/default/web/main?command=sh",
  ])
    expect(await ask(path)).toEqual(refused);
  expect(await ask("/exec/default/web/main?command=sh&input=1", upgrade)).toEqual(refused);
  expect(await ask("/portForward/default/web", upgrade)).toEqual(refused);
  expect((await ask("/configz")).status).toBe(404);
  expect(await ask("/healthz")).toEqual({ status: 200, text: "ok" });
  expect((await ask("/pods")).status).toBe(200);
});

it("shows what is in effect", async () => {
  const { ask } = await start({});
  expect(await ask("/configz")).toEqual({ status: 200, text: '{"kubeletconfig":{"maxPods":3}}' });
});
