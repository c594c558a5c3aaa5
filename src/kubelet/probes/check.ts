/**
 * One attempt of a probe: exec, HTTP, TCP or gRPC.
 * https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
 */
import { connect } from "node:net";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { corev1 } from "#api";
import { type Clock, messageOf } from "#base";
import { type ContainerRuntime, RuntimeError, rpcWords } from "#contracts";
import { httpGet } from "./http.ts";
import { BodyError } from "./http-response.ts";
import { dialWords } from "./network-words.ts";
import { portNumber } from "./target.ts";

export interface CheckResult {
  ok: boolean;
  message: string;
  /** It went well, and the message is worth an event. */
  warns?: true;
  /** The attempt itself failed, in this state: it tells nothing about the container. */
  errored?: "failure" | "unknown";
}

export interface CheckTarget {
  probe: Readonly<corev1.Probe>;
  container: Readonly<corev1.Container>;
  containerId: string;
  podIp: string;
  runtime: ContainerRuntime;
  clock: Clock;
}

const outputMaxBytes = 10 * 1024;

/** An attempt that fails itself is made again at once, so often in all. */
const attemptsMax = 3;

export async function check(target: CheckTarget): Promise<CheckResult> {
  let result = await attempt(target);
  for (let made = 1; result.errored && made < attemptsMax; made++) result = await attempt(target);
  return result;
}

async function attempt(target: CheckTarget): Promise<CheckResult> {
  const { probe } = target;
  try {
    if (probe.exec) return await checkExec(target, probe.exec.command ?? []);
    if (probe.httpGet) return await checkHttp(target, probe.httpGet);
    if (probe.tcpSocket) return await checkTcp(target, probe.tcpSocket);
    if (probe.grpc) return await checkGrpc(target, probe.grpc);
    throw new Error(`missing probe handler for ${target.container.name}`);
  } catch (error) {
    return {
      ok: false,
      message: rpcWords(error),
      errored: error instanceof BodyError ? "failure" : "unknown",
    };
  }
}

const timeoutSecondsOf = (probe: Readonly<corev1.Probe>) => Math.max(1, probe.timeoutSeconds ?? 1);

async function checkExec(target: CheckTarget, command: string[]): Promise<CheckResult> {
  const seconds = timeoutSecondsOf(target.probe);
  try {
    const result = await target.runtime.execSync(target.containerId, command, seconds);
    const text = Buffer.concat([result.stdout, result.stderr]).subarray(0, outputMaxBytes).toString("utf8");
    return { ok: result.exitCode === 0, message: text };
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== "DEADLINE_EXCEEDED") throw error;
    return { ok: false, message: `command timed out: "${command.join(" ")}" timed out after ${seconds}s` };
  }
}

async function checkHttp(target: CheckTarget, action: Readonly<corev1.HTTPGetAction>): Promise<CheckResult> {
  const port = portNumber(action.port, target.container);
  const host = action.host || target.podIp;
  try {
    const timeoutMs = timeoutSecondsOf(target.probe) * 1000;
    const { status, body } = await httpGet(action, host, port, timeoutMs, target.clock);
    if (status >= 200 && status < 300) return { ok: true, message: body };
    if (status >= 300 && status < 400)
      return { ok: true, message: `Probe terminated redirects, Response body: ${body}`, warns: true };
    return { ok: false, message: `HTTP probe failed with statuscode: ${status}` };
  } catch (error) {
    if (error instanceof BodyError) throw error;
    return { ok: false, message: messageOf(error) };
  }
}

function checkTcp(target: CheckTarget, action: Readonly<corev1.TCPSocketAction>): Promise<CheckResult> {
  const port = portNumber(action.port, target.container);
  const host = action.host || target.podIp;
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutSecondsOf(target.probe) * 1000 });
    const end = (ok: boolean, message: string) => {
      socket.destroy();
      resolve({ ok, message });
    };
    socket.once("connect", () => end(true, ""));
    socket.once("timeout", () => end(false, `dial tcp ${host}:${port}: i/o timeout`));
    socket.once("error", (error) => end(false, dialWords(error, host, port)));
  });
}

/** The one message of https://github.com/grpc/grpc/blob/master/doc/health-checking.md, by hand: a string, an enum. */
function healthRequest(service: string): Buffer {
  const name = Buffer.from(service);
  if (name.length === 0) return Buffer.alloc(0);
  const length: number[] = [];
  for (let rest = name.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  return Buffer.concat([Buffer.from([0x0a, ...length]), name]);
}

const serving = 1;

/** The status of the answer: field 1, a varint of one byte. */
const healthStatus = (bytes: Buffer) => (bytes.length >= 2 && bytes[0] === 0x08 ? bytes[1]! : 0);

const lateWords = (address: string, timeoutMs: number) =>
  `timeout: failed to connect service "${address}" within ${timeoutMs / 1000}s: context deadline exceeded`;

function grpcWords({ code, details }: ServiceError, address: string): string {
  if (code === status.UNAVAILABLE) {
    const isRefused = details.includes("ECONNREFUSED");
    const words = isRefused ? `dial tcp ${address}: connect: connection refused` : details;
    return `error: failed to connect service at "${address}": ${words}`;
  }
  if (code === status.UNIMPLEMENTED) {
    return `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${details}`;
  }
  return `error: health rpc probe failed: ${details}`;
}

function checkGrpc(target: CheckTarget, action: Readonly<corev1.GRPCAction>): Promise<CheckResult> {
  const timeoutMs = timeoutSecondsOf(target.probe) * 1000;
  const host = target.podIp.includes(":") ? `[${target.podIp}]` : target.podIp;
  const client = new Client(`${host}:${action.port}`, credentials.createInsecure(), {
    "grpc.enable_retries": 0,
  });
  let late = false;
  return new Promise((resolve) => {
    const end = (ok: boolean, message: string) => {
      timer.cancel();
      client.close();
      resolve({ ok, message });
    };
    const call = client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      healthRequest,
      healthStatus,
      action.service ?? "",
      new Metadata(),
      (error, health) => {
        if (error) {
          const address = `${host}:${action.port}`;
          return end(false, late ? lateWords(address, timeoutMs) : grpcWords(error, address));
        }
        end(
          health === serving,
          health === serving
            ? ""
            : `service unhealthy (responded with "${health === 2 ? "NOT_SERVING" : "UNKNOWN"}")`,
        );
      },
    );
    const timer = target.clock.after(timeoutMs, () => {
      late = true;
      call.cancel();
    });
  });
}
