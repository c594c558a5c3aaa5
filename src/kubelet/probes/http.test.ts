import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { corev1 } from "#api";
import { runOk, systemClock } from "#base";
import { httpGet } from "./http.ts";
import { BodyError } from "./http-response.ts";
import { headersOf, isSameHost, redirectOf, requestHead, targetOf } from "./http-target.ts";

const action = (path: string, more: Partial<corev1.HTTPGetAction> = {}) => ({ path, port: 80, ...more });

describe("where a request goes", () => {
  test.each([
    ["/", "/"],
    ["", "/"],
    ["healthz", "/healthz"],
    ["/healthz?a=b&c=%20d e", "/healthz?a=b&c=%20d e"],
    ["/a?", "/a?"],
    ["/a/../b/./c", "/a/../b/./c"],
    ["/a#b?c", "/a"],
    ["/ö |%41(x)", "/%C3%B6%20%7CA%28x%29"],
    ["/plain(x)%2Fy", "/plain(x)%2Fy"],
    ["/100%?x", "/100%25%3Fx"],
    ["/tab\there", "/tab%09here"],
    ["//other.example/a", "/a"],
    ["https://other.example:1/a?b", "/a?b"],
    ["///a", "///a"],
  ])("the path %j is sent as %j", (path, uri) => {
    expect(targetOf(action(path), "10.0.0.1", 80).uri).toBe(uri);
  });

  test("the port is always told, and an IPv6 address in brackets", () => {
    const target = targetOf(action("/x", { scheme: "HTTPS" }), "fd00::1", 443);
    expect(target).toMatchObject({ scheme: "https", hostname: "fd00::1", host: "[fd00::1]:443" });
    expect(target.text).toBe("https://[fd00::1]:443/x");
  });

  test.each([
    ["/new?a", { host: "10.0.0.1:80", uri: "/new?a" }, true],
    ["new", { host: "10.0.0.1:80", uri: "/dir/new" }, true],
    ["http://10.0.0.1:81/", { host: "10.0.0.1:81", port: 81 }, true],
    ["https://10.0.0.1/", { host: "10.0.0.1", port: 443, scheme: "https" }, true],
    ["http://10.0.0.2/", { hostname: "10.0.0.2", port: 80 }, false],
    ["//[fd00::1]:8080/a", { hostname: "fd00::1", host: "[fd00::1]:8080" }, false],
  ])("%j sends on to %o", (location, expected, isSame) => {
    const target = targetOf(action("/dir/a"), "10.0.0.1", 80);
    const next = redirectOf(target, location);
    expect(next).toMatchObject(expected);
    expect(isSameHost(target, next)).toBe(isSame);
  });
});

describe("a request's head", () => {
  const target = targetOf(action("/x"), "10.0.0.1", 8080);
  const head = (...headers: [string, string][]) =>
    requestHead(target, headersOf(headers.map(([name, value]) => ({ name, value }))), "kube-probe/1.36")
      .split("\r\n")
      .slice(1, -2);
  const [host, agent] = ["Host: 10.0.0.1:8080", "User-Agent: kube-probe/1.36"];

  test.each<[[string, string][], string[]]>([
    [[], [host, agent, "Accept: */*", "Connection: close"]],
    [
      [
        ["x-b", " 1 "],
        ["X-A", "2"],
        ["X-B", "3"],
      ],
      [host, agent, "Accept: */*", "X-A: 2", "X-B: 1", "X-B: 3", "Connection: close"],
    ],
    [[["host", "own.example"]], ["Host: own.example", agent, "Accept: */*", "Connection: close"]],
    [
      [
        ["User-Agent", ""],
        ["Accept", ""],
      ],
      [host, "Connection: close"],
    ],
    [
      [
        ["user-agent", "mine"],
        ["accept", "text/html"],
      ],
      [host, "User-Agent: mine", "Accept: text/html", "Connection: close"],
    ],
    [
      [
        ["Content-Length", "5"],
        ["Transfer-Encoding", "chunked"],
      ],
      [host, agent, "Accept: */*", "Connection: close"],
    ],
    [[["Connection", "Close"]], [host, agent, "Accept: */*", "Connection: Close"]],
  ])("with %j", (headers, lines) => {
    expect(head(...headers)).toEqual(lines);
  });

  test("no header may hold the next request", () => {
    const words = 'net/http: invalid header field value for "X-A"';
    expect(() => head(["X-A", "a\r\nX-B: b"])).toThrow(words);
    expect(() => head(["a b", "c"])).toThrow('net/http: invalid header field name "a b"');
  });
});

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A server that answers each request by hand. */
const raw = (answer: (socket: Socket, request: string) => void) =>
  listen(
    createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (bytes) => answer(socket, bytes.toString()));
    }),
  );

const get = (port: number, more: Partial<corev1.HTTPGetAction> = {}, timeoutMs = 30_000) =>
  httpGet({ path: "/", port, ...more }, "127.0.0.1", port, timeoutMs, systemClock);

describe("an exchange", () => {
  test("is one request on a connection of its own", async () => {
    let asked = "";
    const port = await raw((socket, request) => {
      asked = request;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    expect(await get(port, { path: "/a?b" })).toEqual({ status: 200, body: "ok" });
    expect(asked).toBe(
      `GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
    );
  });

  test("ends with 10 KB of a body without end", async () => {
    const port = await raw((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const more = () => {
        while (socket.write(`400\r\n${"x".repeat(1024)}\r\n`));
      };
      socket.on("drain", more);
      more();
    });
    expect((await get(port)).body).toBe("x".repeat(10 * 1024));
  });

  test("many at once do not get each other's bytes", async () => {
    const port = await listen(
      createHttpServer((request, response) => {
        response.write(`${request.url} `);
        setImmediate(() => response.end(request.url!.repeat(200)));
      }),
    );
    const paths = Array.from({ length: 60 }, (_, i) => `/${i}`);
    const answers = await Promise.all(paths.map((path) => get(port, { path })));
    expect(answers.map(({ body }) => body)).toEqual(paths.map((path) => `${path} ${path.repeat(200)}`));
  });

  test.each<[string, (socket: Socket) => unknown, string]>([
    ["the server closes", (socket) => socket.end(), "EOF"],
    ["the server closes in the head", (socket) => socket.end("HTTP/1.1 2"), "unexpected EOF"],
    [
      "the server speaks something else",
      (socket) => socket.write("SSH-2.0-x\r\n"),
      'net/http: HTTP/1.x transport connection broken: malformed HTTP response "SSH-2.0-x"',
    ],
  ])("fails where %s", async (_, answer, words) => {
    const port = await raw(answer);
    await expect(get(port)).rejects.toThrow(new Error(`Get "http://127.0.0.1:${port}/": ${words}`));
  });

  test("fails where the connection is reset", async () => {
    const port = await raw((socket) => socket.resetAndDestroy());
    await expect(get(port)).rejects.toThrow(
      new RegExp(
        `^Get "http://127.0.0.1:${port}/": read tcp 127.0.0.1:\\d+->127.0.0.1:${port}: read: connection reset by peer$`,
      ),
    );
  });

  test("that breaks off in the body says so, and nothing about the pod", async () => {
    const port = await raw((socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"));
    await expect(get(port)).rejects.toThrow(new BodyError("unexpected EOF"));
  });

  test("has one time for all of it", async () => {
    const port = await raw((socket, request) => {
      if (request.startsWith("GET /body ")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok");
    });
    await expect(get(port, {}, 50)).rejects.toThrow(
      `Get "http://127.0.0.1:${port}/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
    );
    await expect(get(port, { path: "/body" }, 300)).rejects.toThrow("context deadline exceeded");
  });

  test("fails on a closed port, and where there is no such host", async () => {
    await expect(get(1)).rejects.toThrow(
      'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused',
    );
  });
});

describe("a redirect", () => {
  test("is followed on the same host with the headers of the first request", async () => {
    const asked: string[] = [];
    const port = await raw((socket, request) => {
      asked.push(request);
      const to = request.startsWith("GET /a ") ? "/b" : `http://127.0.0.1:${port}/c`;
      const answer = request.startsWith("GET /c ") ? "200 OK" : `307 There\r\nLocation: ${to}`;
      socket.end(`HTTP/1.1 ${answer}\r\nContent-Length: 0\r\n\r\n`);
    });
    const httpHeaders = [
      { name: "Host", value: "own.example" },
      { name: "X-A", value: "1" },
    ];
    expect((await get(port, { path: "/a", httpHeaders })).status).toBe(200);
    const lines = asked.map((text) =>
      text.split("\r\n").filter((line) => /^(GET|Host|Referer|X-A)/.test(line)),
    );
    const here = `http://127.0.0.1:${port}`;
    expect(lines).toEqual([
      ["GET /a HTTP/1.1", "Host: own.example", "X-A: 1"],
      ["GET /b HTTP/1.1", "Host: own.example", `Referer: ${here}/a`, "X-A: 1"],
      ["GET /c HTTP/1.1", `Host: 127.0.0.1:${port}`, `Referer: ${here}/b`, "X-A: 1"],
    ]);
  });

  test("elsewhere, or without a place, is the answer", async () => {
    const port = await raw((socket, request) => {
      const location = request.startsWith("GET /none ") ? "" : "Location: http://example.invalid/\r\n";
      socket.end(`HTTP/1.1 302 Found\r\n${location}Content-Length: 2\r\n\r\nok`);
    });
    expect(await get(port)).toMatchObject({ status: 302, body: "ok" });
    expect(await get(port, { path: "/none" })).toEqual({ status: 302, body: "ok" });
  });

  test("to itself ends, and a place that is none is told", async () => {
    let asked = 0;
    const port = await raw((socket, request) => {
      asked++;
      const [, path = ""] = request.split(" ");
      const location = { "/bad": "http://[", "/ftp": "ftp://127.0.0.1/" }[path] ?? "/loop";
      socket.end(`HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`);
    });
    await expect(get(port)).rejects.toThrow(new Error('Get "/loop": stopped after 10 redirects'));
    expect(asked).toBe(10);
    await expect(get(port, { path: "/bad" })).rejects.toThrow('failed to parse Location header "http://["');
    await expect(get(port, { path: "/ftp" })).rejects.toThrow(
      new Error('Get "ftp://127.0.0.1/": unsupported protocol scheme "ftp"'),
    );
  });
});

describe("with TLS", () => {
  async function selfSigned(): Promise<{ cert: Buffer; key: Buffer }> {
    const folder = await mkdtemp(join(tmpdir(), "probe-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const file = (name: string) => join(folder, name);
    await runOk("openssl", [
      ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1".split(" "),
      ...["-subj", "/CN=nobody", "-keyout", file("key"), "-out", file("cert")],
    ]);
    return { cert: await readFile(file("cert")), key: await readFile(file("key")) };
  }

  test("no certificate is checked", async () => {
    const port = await listen(
      createHttpsServer(await selfSigned(), (request, response) =>
        response.end(`${request.httpVersion} ${request.url}`),
      ),
    );
    expect(await get(port, { scheme: "HTTPS", path: "/x" })).toEqual({ status: 200, body: "1.1 /x" });
    await expect(get(port, { scheme: "HTTP" })).rejects.toThrow("EOF");
  });

  test("a server without it is told apart", async () => {
    const port = await listen(createHttpServer((_, response) => response.end("ok")));
    await expect(get(port, { scheme: "HTTPS" })).rejects.toThrow(
      `Get "https://127.0.0.1:${port}/": http: server gave HTTP response to HTTPS client`,
    );
  });
});
