/**
 * Hooks after the start and before the end of a container.
 * https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
 */
import { isIPv6 } from "node:net";
import type { corev1 } from "#api";
import { messageOf, type World } from "#base";
import type { ContainerRuntime } from "#contracts";
import { httpGet } from "./probes/http.ts";
import { BodyError } from "./probes/http-response.ts";
import { portNumber } from "./probes/target.ts";

/** Undefined when the hook went well, else what went wrong. */
export async function runHook(options: {
  handler: Readonly<corev1.LifecycleHandler>;
  container: Readonly<corev1.Container>;
  containerId: string;
  podIp: string;
  runtime: ContainerRuntime;
  world: World;
  signal: AbortSignal;
  timeoutMs: number;
  say(kind: "Warning", reason: string, message: string): void;
}): Promise<string | undefined> {
  const { handler, runtime, world, signal, timeoutMs } = options;
  try {
    if (handler.exec) {
      const command = handler.exec.command ?? [];
      const result = await runtime.execSync(options.containerId, command, Math.ceil(timeoutMs / 1000));
      if (result.exitCode === 0) return undefined;
      const words = Buffer.from(result.stderr.length > 0 ? result.stderr : result.stdout)
        .toString("utf8")
        .slice(0, 1024);
      return `command '${command.join(" ")}' exited with ${result.exitCode}: ${words}`;
    }
    if (handler.httpGet) await askOverHttp({ ...options, action: handler.httpGet });
    if (handler.sleep) await world.clock.sleep(handler.sleep.seconds * 1000, signal);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

interface Question {
  action: Readonly<corev1.HTTPGetAction>;
  container: Readonly<corev1.Container>;
  podIp: string;
  world: World;
  timeoutMs: number;
  say(kind: "Warning", reason: string, message: string): void;
}

/**
 * Any answer will do, whatever its status. A server without TLS is asked without, and without what only it should know.
 * https://kep.k8s.io/3503
 */
async function askOverHttp({
  action,
  container,
  podIp,
  world,
  timeoutMs,
  say,
}: Readonly<Question>): Promise<void> {
  const [host, port] = [action.host || podIp, portNumber(action.port, container)];
  const ask = async (how: Readonly<corev1.HTTPGetAction>) => {
    try {
      await httpGet(how, host, port, timeoutMs, world.clock, "lifecycle");
    } catch (error) {
      if (!(error instanceof BodyError)) throw error;
    }
  };
  try {
    await ask(action);
  } catch (error) {
    if (!messageOf(error).includes("server gave HTTP response to HTTPS client")) throw error;
    const httpHeaders = action.httpHeaders?.filter(({ name }) => name.toLowerCase() !== "authorization");
    // What was wrong at first is told where the second try goes wrong too.
    await ask({ ...action, scheme: "HTTP", ...(httpHeaders ? { httpHeaders } : {}) }).catch(() => {
      throw error;
    });
    const at = isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
    say(
      "Warning",
      "LifecycleHTTPFallback",
      `request to HTTPS lifecycle hook ${at} got HTTP response, retry with HTTP succeeded`,
    );
  }
}
