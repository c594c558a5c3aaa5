/** The kubelet's server behind a real socket: hostile requests leave it standing. */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, expect, it } from "vitest";
import { createWorld, silentLogger, VirtualClock } from "#base";
import { RuntimeError } from "#contracts";
import { createAuthority } from "../../src/distro/certificates.ts";
import { defaultConfig } from "../../src/kubelet/config/settings.ts";
import { checkpoint } from "../../src/kubelet/server/checkpoint.ts";
import type { HttpError, Serving } from "../../src/kubelet/server/request.ts";
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
  ["POST", "", "/checkpoint/default/%zz/main", 400],
  ["POST", "", "/checkpoint", 404],
  ["POST", "", "/checkpoint/default/other/main", 404],
  ["POST", "", "/checkpoint/default/web/other", 404],
  ["POST", "", "/checkpoint/default/web/main?timeout=soon", 404],
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
    settings: defaultConfig,
  } as unknown as KubeletServerOptions);
  const credentials = status === 401 ? {} : await authority.issue(client);
  const socket = connect({ host: "127.0.0.1", port: server.port, ca: authority.cert, ...credentials });
  socket.write(`${method} ${path} HTTP/1.1\r\nhost: x\r\n${headers || "connection: close\r\n"}\r\n`);
  let answer = "";
  for await (const chunk of socket) answer += chunk;
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  await server.stop();
});

const observed = { containers: [{ id: "c1", name: "main" }] };
const dir = mkdtempSync(join(tmpdir(), "knarr-checkpoints-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function checkpointed(path: string, refusal?: RuntimeError) {
  const asked: unknown[][] = [];
  const runtime = {
    checkpointContainer: async (...call: unknown[]) => {
      asked.push(call);
      if (refusal) throw refusal;
    },
  };
  const web = { pod: { ...pod, metadata: { ...pod.metadata, uid: "1" } } };
  const serving = {
    context: {
      world: createWorld({ log: silentLogger, clock: new VirtualClock(Date.UTC(2026, 0, 2, 3, 4, 5)) }),
      reader: { look: async () => observed },
      paths: { checkpoints: join(dir, "checkpoints") },
      runtime,
    },
    workers: { find: () => web },
  } as unknown as Serving;
  const answer = await checkpoint(serving, "POST", new URL(path, "https://kubelet")).catch(
    ({ status, message }: HttpError) => ({ status, message }),
  );
  return { answer, asked };
}

it("has the runtime write a container's state into the kubelet's folder", async () => {
  const location = join(dir, "checkpoints", "checkpoint-web_default-main-2026-01-02T03:04:05Z.tar");
  expect(await checkpointed("/checkpoint/default/web/main?timeout=1&timeout=300")).toEqual({
    answer: location,
    asked: [["c1", location, 300]],
  });
  expect((await checkpointed("/checkpoint/default/web/main")).asked).toEqual([["c1", location, 120]]);
  expect(statSync(join(dir, "checkpoints")).mode & 0o777).toBe(0o700);
});

it.each([
  [
    "method CheckpointContainer not implemented",
    "",
    "checkpointing of default/web/main failed (rpc error: code = Unimplemented desc = method CheckpointContainer not implemented)",
  ],
  [
    "",
    "?timeout=-1",
    "checkpointing of default/web/main failed (CheckpointContainer requires the timeout value to be > 0)",
  ],
])("says why a container is not checkpointed: %s %s", async (words, query, message) => {
  const refusal = new RuntimeError("UNIMPLEMENTED", words);
  const { answer } = await checkpointed(`/checkpoint/default/web/main${query}`, refusal);
  expect(answer).toEqual({ status: 500, message });
});
