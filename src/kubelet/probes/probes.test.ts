import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createWorld, silentLogger, systemClock, VirtualClock } from "#base";
import { type ContainerRuntime, RuntimeError } from "#contracts";
import { makeContainer } from "../testing/pods.ts";
import { check } from "./check.ts";
import { createProbeManager } from "./manager.ts";
import { nextVerdict, noVerdict, startProber } from "./prober.ts";
import { portNumber } from "./target.ts";

describe("thresholds", () => {
  const judge = (results: string, probe: object) =>
    [...results].reduce((verdict, r) => nextVerdict(verdict, r === "1", probe), noVerdict).healthy;
  test.each([
    ["", {}, undefined],
    ["1", {}, true],
    ["00", {}, undefined],
    ["000", {}, false],
    ["1001", {}, true],
    ["10010", {}, true],
    ["0", { failureThreshold: 1 }, false],
    ["0001", { successThreshold: 2 }, false],
    ["00011", { successThreshold: 2 }, true],
  ])("after %s with %o", (results, probe, healthy) => {
    expect(judge(results, probe)).toBe(healthy);
  });

  test("only an unbroken run of the threshold's length changes the verdict", () => {
    const input = fc.record({
      results: fc.array(fc.boolean()),
      failureThreshold: fc.integer({ min: 1, max: 4 }),
      successThreshold: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(input, ({ results, ...probe }) => {
        let verdict = noVerdict;
        for (const [i, ok] of results.entries()) {
          const next = nextVerdict(verdict, ok, probe);
          const needed = ok ? probe.successThreshold : probe.failureThreshold;
          const unbroken = i + 1 >= needed && results.slice(i + 1 - needed, i + 1).every((r) => r === ok);
          expect(next.healthy).toBe(unbroken ? ok : verdict.healthy);
          verdict = next;
        }
      }),
    );
  });
});

test("ports are found by number or name", () => {
  const container = makeContainer("main", { ports: [{ name: "http", containerPort: 8080 }] });
  expect(portNumber("http", container)).toBe(8080);
  expect(portNumber(80, container)).toBe(80);
  expect(() => portNumber("grpc", container)).toThrow('strconv.Atoi: parsing "grpc": invalid syntax');
  expect(() => portNumber(0, container)).toThrow("invalid port number: 0");
  expect(portNumber("81", container)).toBe(81);
});

describe("checks", () => {
  let server: Server;
  let port: number;
  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === "/slow") return;
      if (request.url === "/redirect") response.writeHead(302, { location: "/bad" }).end();
      else if (request.url === "/away")
        response.writeHead(302, { location: "http://example.invalid/" }).end("gone");
      else
        response
          .writeHead(request.url === "/bad" ? 503 : 200)
          .end(String(request.headers["x-probe"] ?? "ok"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  let attempts = 0;
  const runtime = {
    execSync: async (_id: string, command: string[]) => {
      if (command[0] === "sleep") throw new RuntimeError("DEADLINE_EXCEEDED", "late");
      if (command[0] === "none") throw new RuntimeError("UNKNOWN", `no such file: attempt ${++attempts}`);
      return {
        stdout: Buffer.from("said"),
        stderr: Buffer.alloc(0),
        exitCode: command[0] === "false" ? 1 : 0,
      };
    },
  } as unknown as ContainerRuntime;
  const ask = (probe: object) =>
    check({
      probe,
      container: makeContainer("main"),
      containerId: "c",
      podIp: "127.0.0.1",
      runtime,
      clock: systemClock,
    });

  test("by command", async () => {
    expect(await ask({ exec: { command: ["true"] } })).toEqual({ ok: true, message: "said" });
    expect(await ask({ exec: { command: ["false"] } })).toEqual({ ok: false, message: "said" });
    expect((await ask({ exec: { command: ["sleep", "9"] } })).message).toBe(
      'command timed out: "sleep 9" timed out after 1s',
    );
  });

  test("that cannot be made are tried three times, and tell nothing about the container", async () => {
    attempts = 0;
    expect(await ask({ exec: { command: ["none"] } })).toEqual({
      ok: false,
      errored: "unknown",
      message: "rpc error: code = Unknown desc = no such file: attempt 3",
    });
    const clock = new VirtualClock();
    const told: string[] = [];
    const probes = createProbeManager({
      runtime,
      world: createWorld({ clock, log: silentLogger }),
      wake: () => {},
      say: (_pod, _container, type, reason, message) => told.push(`${type} ${reason}: ${message}`),
    });
    const livenessProbe = { exec: { command: ["none"] }, failureThreshold: 1 };
    const pod = { metadata: { name: "p", uid: "u" }, spec: { containers: [{ name: "c", livenessProbe }] } };
    const container = { id: "1", name: "c", state: "CONTAINER_RUNNING", startedAt: clock.now() * 1e6 };
    const state = { uid: "u", sandboxes: [], containers: [container] };
    probes.follow(pod as never, state as never, "127.0.0.1", false);
    await clock.advance(15_000);
    expect(told).toEqual([
      "Warning Unhealthy: Liveness probe errored and resulted in unknown state: rpc error: code = Unknown desc = no such file: attempt 6",
      "Warning Unhealthy: Liveness probe errored and resulted in unknown state: rpc error: code = Unknown desc = no such file: attempt 9",
    ]);
    expect(probes.unhealthy("u").size).toBe(0);
    expect(probes.counts()).toMatchObject([{ successful: 0, failed: 0 }]);
    probes.stop();
  });

  test("by HTTP, with headers, redirects and a time limit", async () => {
    const get = (path: string, more = {}) => ask({ httpGet: { path, port, ...more } });
    expect(await get("/", { httpHeaders: [{ name: "X-Probe", value: "yes" }] })).toEqual({
      ok: true,
      message: "yes",
    });
    expect(await get("/bad")).toEqual({ ok: false, message: "HTTP probe failed with statuscode: 503" });
    expect((await get("/redirect")).ok).toBe(false);
    expect(await get("/away")).toEqual({
      ok: true,
      warns: true,
      message: "Probe terminated redirects, Response body: gone",
    });
    expect((await get("/slow")).message).toContain("context deadline exceeded");
  });

  test("by TCP and gRPC", async () => {
    expect((await ask({ tcpSocket: { port } })).ok).toBe(true);
    const refused = "dial tcp 127.0.0.1:1: connect: connection refused";
    expect((await ask({ tcpSocket: { port: 1 } })).message).toBe(refused);
    expect((await ask({ httpGet: { path: "/x", port: 1 } })).message).toBe(
      `Get "http://127.0.0.1:1/x": ${refused}`,
    );
    expect((await ask({ grpc: { port: 1 } })).message).toBe(
      `error: failed to connect service at "127.0.0.1:1": ${refused}`,
    );
    expect((await ask({ grpc: { port: 1 } })).ok).toBe(false);
    expect(await ask({})).toEqual({
      ok: false,
      errored: "unknown",
      message: "missing probe handler for main",
    });
  });

  test("are repeated by the clock, wait their turn, and a failed liveness probe ends", async () => {
    const clock = new VirtualClock();
    const world = createWorld({ clock, log: silentLogger });
    const verdicts: boolean[] = [];
    let results = 0;
    let mayRun = false;
    const prober = startProber({
      kind: "liveness",
      probe: { exec: { command: ["false"] }, initialDelaySeconds: 5, periodSeconds: 10, failureThreshold: 2 },
      container: makeContainer("main"),
      containerId: "c",
      podIp: "",
      clock,
      runtime,
      world,
      startedMs: clock.now(),
      mayRun: () => mayRun,
      onVerdict: (healthy) => verdicts.push(healthy),
      onResult: () => results++,
    });
    await clock.advance(4000);
    mayRun = true;
    expect(results).toBe(0);
    await clock.advance(2000);
    expect([results, verdicts]).toEqual([1, []]);
    await clock.advance(60_000);
    expect([results, verdicts]).toEqual([2, [false]]);
    prober.stop();
  });

  test("begin in time where the machine's clock has gone back since the container began", async () => {
    const clock = new VirtualClock();
    let results = 0;
    const prober = startProber({
      kind: "readiness",
      probe: { exec: { command: ["false"] }, initialDelaySeconds: 5, periodSeconds: 10 },
      container: makeContainer("main"),
      containerId: "c",
      podIp: "",
      clock,
      runtime,
      world: createWorld({ clock, log: silentLogger }),
      startedMs: clock.now() + 7_200_000,
      mayRun: () => true,
      onVerdict: () => {},
      onResult: () => results++,
    });
    await clock.advance(6000);
    expect(results).toBe(1);
    prober.stop();
  });
});
