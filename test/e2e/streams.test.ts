/** exec, attach, logs, cp and port-forward with kubectl over WebSocket and SPDY, and with a JavaScript client. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { Attach, Cp, Exec, KubeConfig, Log, PortForward, type V1Status } from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { run, systemClock } from "#base";
import { eventually, newestKubectl } from "./harness.ts";
import { knarr } from "./knarr.ts";

const kubectl = newestKubectl();
const minor = Number(inject("kubectls").at(-1)!.version.split(".")[1]);
const namespace = "streams";
const pod = "box";
/** Of util-linux: runs a command at a terminal of its own. */
const terminalProgram = "script";
const cargo = randomBytes(5_000_000);
const md5 = (bytes: Uint8Array) => createHash("md5").update(bytes).digest("hex");
const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);

beforeAll(async () => {
  await kubectl.ok(["create", "namespace", namespace]);
  await k(
    "run",
    pod,
    "--image=busybox:1.36",
    "--",
    "sh",
    "-c",
    "mkdir /www; httpd -p 8080 -h /www; sleep 100000",
  );
  const command = ["sh", "-c", "while read line; do echo got $line; done"];
  const reader = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "reader", namespace },
    spec: { containers: [{ name: "reader", image: "busybox:1.36", stdin: true, command }] },
  };
  await kubectl.ok(["apply", "-f", "-"], { input: JSON.stringify(reader) });
  await k("wait", "--for=condition=Ready", "pod/box", "pod/reader", "--timeout=90s");
  await run(
    kubectl.binary,
    ["-n", namespace, "exec", "-i", pod, "--", "sh", "-c", "cat > /www/cargo; wc -c /www/cargo"],
    {
      env: kubectl.environment,
      input: cargo,
    },
  );
});

afterAll(async () => {
  await kubectl.ok(["delete", "namespace", namespace, "--timeout=120s"]);
});

/** The process of the server, with the kubelet in it. */
async function serverPid(): Promise<number> {
  const { clusters } = JSON.parse(await knarr(["status", "-o", "json"])) as {
    clusters: { name: string; pid: number }[];
  };
  return clusters.find((c) => c.name === inject("clusterName"))!.pid;
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) * 1024;
}

function openSockets(pid: number): number {
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return links.filter((link) => link.startsWith("socket:")).length;
}

interface Ended {
  code: number;
  stdout: Buffer;
  stderr: string;
}

async function finish(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  const ended = new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? 128)));
  const [stdout, stderr, code] = await Promise.all([buffer(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}

async function processesIn(name: string): Promise<string[]> {
  return (await k("exec", name, "--", "ps", "-o", "args")).split("\n");
}

describe.skipIf(minor < 31)("the newest kubectl", () => {
  test("really speaks version 5 over WebSocket", async () => {
    const { stdout, stderr } = await kubectl.try(["-n", namespace, "-v=8", "exec", pod, "--", "echo", "hi"]);
    expect(stdout).toBe("hi\n");
    expect(stderr).toContain("101 Switching Protocols");
    expect(stderr).toMatch(/protocol.*v5\.channel\.k8s\.io/);
    expect(stderr).not.toMatch(/fallback|SPDY/i);
  });
});

describe.each(["true", "false"])("kubectl with WebSockets: %s", (webSockets) => {
  const env = {
    ...kubectl.environment,
    KUBECTL_REMOTE_COMMAND_WEBSOCKETS: webSockets,
    KUBECTL_PORT_FORWARD_WEBSOCKETS: webSockets,
  };
  const start = (...args: string[]) =>
    spawn(kubectl.binary, ["-n", namespace, ...args], { env: { ...process.env, ...env } });
  const exec = async (args: string[], input?: Uint8Array): Promise<Ended> => {
    const child = start("exec", ...args);
    child.stdin.on("error", () => {}).end(input);
    return finish(child);
  };

  test("piped input arrives whole, with its end, and comes back byte for byte", async () => {
    const sum = await exec(["-i", pod, "--", "sh", "-c", "cat | md5sum"], cargo);
    expect(sum.stdout.toString()).toBe(`${md5(cargo)}  -\n`);
    const echo = await exec(["-i", pod, "--", "cat"], cargo);
    expect(md5(echo.stdout)).toBe(md5(cargo));
  });

  test("the two outputs are kept apart, and the exit code is the command's", async () => {
    const ended = await exec([pod, "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    expect(ended.stdout.toString()).toBe("out\n");
    expect(ended.stderr).toBe("err\ncommand terminated with exit code 7\n");
    expect(ended.code).toBe(7);
    const none = await exec([pod, "--", "no-such-command"]);
    expect(none.code).not.toBe(0);
    expect(none.stderr).toContain("no-such-command");
  });

  test("a terminal has the size of the user's", async () => {
    const command = `stty cols 97 rows 31; ${kubectl.binary} -n ${namespace} exec -it ${pod} -- sh -c 'sleep 0.3; stty size'`;
    const { stdout } = await run(terminalProgram, ["-qec", command, "/dev/null"], { env });
    expect(stdout).toContain("31 97");
  });

  test("attach -i talks to a running container, and leaves it running", async () => {
    const child = start("attach", "-i", "reader");
    let heard = "";
    child.stdout.on("data", (chunk) => {
      heard += chunk;
    });
    child.stdin.write(`line-${webSockets}\n`);
    await eventually("the answer", async () => (heard.includes(`got line-${webSockets}`) ? true : undefined));
    const closed = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await closed;
    expect(await k("get", "pod", "reader", "-o", "jsonpath={.status.phase}")).toBe("Running");
  });

  test("port-forward carries 20 bodies at once", async () => {
    const child = start("port-forward", "pod/box", ":8080");
    try {
      const port = await forwardedPort(child.stdout);
      const bodies = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const answer = await fetch(`http://127.0.0.1:${port}/cargo`, { headers: { connection: "close" } });
          return md5(new Uint8Array(await answer.arrayBuffer()));
        }),
      );
      expect(new Set(bodies)).toEqual(new Set([md5(cargo)]));
    } finally {
      child.kill();
    }
  });

  test("output is made no faster than it is read", async () => {
    const size = 200_000_000;
    const pid = await serverPid();
    const before = residentBytes(pid);
    const child = start("exec", pod, "--", "sh", "-c", `yes | head -c ${size}`);
    await systemClock.sleep(2_000);
    expect(residentBytes(pid) - before).toBeLessThan(120_000_000);
    let received = 0;
    for await (const chunk of child.stdout) received += (chunk as Buffer).length;
    expect(residentBytes(pid) - before).toBeLessThan(150_000_000);
    // kubectl's own SPDY code drops what it has not written yet when the server says goodbye.
    expect(received).toBeGreaterThan(webSockets === "true" ? size - 1 : size * 0.95);
    expect(received).toBeLessThanOrEqual(size);
  });

  test("a client that is killed leaves neither process nor socket", async () => {
    const pid = await serverPid();
    const before = openSockets(pid);
    const child = start("exec", "-i", pod, "--", "cat", "/dev/stdin");
    child.stdin.write("hello");
    await new Promise((resolve) => child.stdout.once("data", resolve));
    expect(await processesIn(pod)).toContain("cat /dev/stdin");
    child.kill("SIGKILL");
    await eventually("the command ends", async () =>
      (await processesIn(pod)).includes("cat /dev/stdin") ? undefined : true,
    );
    await eventually("the sockets are closed", async () => (openSockets(pid) <= before ? true : undefined));
  });
});

/** The local port that kubectl has chosen. */
async function forwardedPort(stdout: Readable): Promise<string> {
  let said = "";
  for await (const chunk of stdout.iterator({ destroyOnReturn: false })) {
    said += chunk;
    const port = /127\.0\.0\.1:(\d+)/.exec(said)?.[1];
    if (port) {
      stdout.resume();
      return port;
    }
  }
  throw new Error(`port-forward ended: ${said}`);
}

test.skipIf(minor < 31)(
  "a killed client whose command reads nothing, or sits at a terminal, is noticed",
  async () => {
    const pid = await serverPid();
    const before = openSockets(pid);
    const start = (...args: string[]) =>
      spawn(kubectl.binary, ["-n", namespace, ...args], { env: { ...process.env, ...kubectl.environment } });
    const deaf = start("exec", "-i", pod, "--", "sleep", "20");
    deaf.stdin.on("error", () => {}).write(Buffer.alloc(30_000_000));
    const command = `exec ${kubectl.binary} -n ${namespace} exec -it ${pod} -- sh -c 'echo ready; exec sh -i'`;
    const shell = spawn(terminalProgram, ["-qec", command, "/dev/null"], {
      env: { ...process.env, ...kubectl.environment },
      detached: true,
    });
    await eventually("the shell", async () =>
      (await processesIn(pod)).includes("sh -i") ? true : undefined,
    );
    deaf.kill("SIGKILL");
    const children = readFileSync(`/proc/${shell.pid}/task/${shell.pid}/children`, "utf8").trim().split(" ");
    for (const child of children) process.kill(Number(child), "SIGKILL");
    await eventually("the shell ends", async () =>
      (await processesIn(pod)).includes("sh -i") ? undefined : true,
    );
    await eventually("the sockets are closed", async () => (openSockets(pid) <= before ? true : undefined));
  },
);

describe("the JavaScript client", () => {
  const config = new KubeConfig();
  let folder: string;

  beforeAll(async () => {
    config.loadFromFile(inject("kubeconfig"));
    folder = await mkdtemp(join(tmpdir(), "knarr-streams-"));
  });

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  interface Outcome {
    protocol: string;
    stdout: Buffer;
    stderr: string;
    status: V1Status;
  }

  async function exec(command: string[], stdin?: Readable): Promise<Outcome> {
    const [out, err] = [new PassThrough(), new PassThrough()];
    const reading = Promise.all([buffer(out), text(err)]);
    let socket: { protocol: string } | undefined;
    const status = await new Promise<V1Status>((resolve, reject) => {
      new Exec(config)
        .exec(namespace, pod, pod, command, out, err, stdin ?? null, false, resolve)
        .then((opened) => {
          socket = opened;
        }, reject);
    });
    const [stdout, stderr] = await reading;
    return { protocol: socket!.protocol, stdout, stderr, status };
  }

  test("exec: version 5, half-close, outputs apart, exit code", async () => {
    const input = new PassThrough();
    const running = exec(["sh", "-c", "md5sum; echo err >&2; exit 3"], input);
    for (let at = 0; at < cargo.length; at += 65_536) input.write(cargo.subarray(at, at + 65_536));
    input.end();
    const { protocol, stdout, stderr, status } = await running;
    expect(protocol).toBe("v5.channel.k8s.io");
    expect([stdout.toString(), stderr]).toEqual([`${md5(cargo)}  -\n`, "err\n"]);
    expect(status.status).toBe("Failure");
    expect(status.details?.causes).toEqual([{ reason: "ExitCode", message: "3" }]);
    expect((await exec(["true"])).status).toMatchObject({ status: "Success" });
  });

  test("exec: a terminal follows the size of the user's", async () => {
    const out = Object.assign(new PassThrough(), { columns: 80, rows: 24 });
    let seen = "";
    out.on("data", (chunk) => {
      seen += chunk;
    });
    const command = ["sh", "-c", "while sleep 0.1; do stty size; done"];
    const socket = await new Exec(config).exec(
      namespace,
      pod,
      pod,
      command,
      out,
      null,
      new PassThrough(),
      true,
    );
    await eventually("the first size", async () => (seen.includes("24 80") ? true : undefined));
    Object.assign(out, { columns: 132, rows: 43 });
    out.emit("resize");
    await eventually("the new size", async () => (seen.includes("43 132") ? true : undefined));
    socket.close();
  });

  test("attach hears and speaks", async () => {
    const [out, input] = [new PassThrough(), new PassThrough()];
    let seen = "";
    out.on("data", (chunk) => {
      seen += chunk;
    });
    const socket = await new Attach(config).attach(namespace, "reader", "reader", out, null, input, false);
    input.write("from JavaScript\n");
    await eventually("the answer", async () => (seen.includes("got from JavaScript") ? true : undefined));
    socket.close();
  });

  test("logs", async () => {
    const out = new PassThrough();
    const reading = text(out);
    await new Log(config).log(namespace, "reader", "reader", out, { tailLines: 1 });
    expect(await reading).toBe("got from JavaScript\n");
  });

  test("cp puts files in and takes them out", async () => {
    await writeFile(join(folder, "cargo.bin"), cargo);
    const cp = new Cp(config);
    await cp.cpToPod(namespace, pod, pod, folder, "/tmp");
    await eventually("the file is in", async () =>
      (await exec(["md5sum", "/tmp/cargo.bin"])).stdout.toString().startsWith(md5(cargo)) ? true : undefined,
    );
    const back = join(folder, "back");
    await cp.cpFromPod(namespace, pod, pod, "cargo.bin", back, "/tmp");
    await eventually("the file is out", async () =>
      md5(await readFile(join(back, "cargo.bin"))) === md5(cargo) ? true : undefined,
    );
  });

  test("port-forward carries a body", async () => {
    const [out, err, input] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const received: Buffer[] = [];
    let size = 0;
    out.on("data", (chunk: Buffer) => {
      received.push(chunk);
      size += chunk.length;
    });
    await new PortForward(config).portForward(namespace, pod, [8080], out, err, input);
    input.write("GET /cargo HTTP/1.0\r\n\r\n");
    await eventually("the body", async () => (size > cargo.length ? true : undefined));
    expect(md5(Buffer.concat(received).subarray(-cargo.length))).toBe(md5(cargo));
    input.end();
  });
});
