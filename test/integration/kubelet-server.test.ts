/** The kubelet's server behind a real socket: hostile requests leave it standing. */
import { connect } from "node:tls";
import { expect, it } from "vitest";
import { createWorld, silentLogger } from "#base";
import { createAuthority } from "../../src/distro/certificates.ts";
import { type KubeletServerOptions, startKubeletServer } from "../../src/kubelet/server/server.ts";

const world = createWorld({ log: silentLogger });
const upgrade = "connection: Upgrade\r\nupgrade: SPDY/3.1\r\n";

const pod = { metadata: { namespace: "default", name: "web" }, spec: { containers: [{ name: "main" }] } };
const workers = { find: (_: string, name: string) => (name === "web" ? { pod } : undefined) };

it.each([
  ["GET", "", "//", 401],
  ["GET", upgrade, "//", 401],
  ["GET", "", "//", 400],
  ["GET", upgrade, "//", 400],
  ["GET", upgrade, "/exec/%zz/a/b", 400],
  ["POST", "", "/pods", 405],
  ["GET", "", "/checkpoint/default/web/main", 405],
  ["POST", "", "/checkpoint/default/web/main", 404],
  ["POST", "", "/checkpoint/default/%zz/main", 400],
  ["POST", "", "/checkpoint", 404],
])("answers a request it cannot read or serve: %s %j %s %s", async (method, headers, path, status) => {
  const authority = await createAuthority(world, "test");
  const use = { commonName: "node", use: "server", addresses: ["127.0.0.1"] } as const;
  const client = { commonName: "admin", organizations: ["system:masters"], use: "client" } as const;
  const server = await startKubeletServer({
    host: "127.0.0.1",
    port: 0,
    tls: await authority.issue(use),
    clientCa: authority.cert,
    world,
    context: {},
    workers,
  } as unknown as KubeletServerOptions);
  const credentials = status === 401 ? {} : await authority.issue(client);
  const socket = connect({ host: "127.0.0.1", port: server.port, ca: authority.cert, ...credentials });
  socket.write(`${method} ${path} HTTP/1.1\r\nhost: x\r\n${headers || "connection: close\r\n"}\r\n`);
  let answer = "";
  for await (const chunk of socket) answer += chunk;
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  await server.stop();
});
