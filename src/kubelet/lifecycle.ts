/**
 * Hooks after the start and before the end of a container.
 * https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
 */
import type { corev1 } from "#api";
import { messageOf, type World } from "#base";
import type { ContainerRuntime } from "#contracts";
import { httpGet } from "./probes/http.ts";
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
}): Promise<string | undefined> {
  const { handler, container, runtime, world, signal, timeoutMs } = options;
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
    if (handler.httpGet) {
      const port = portNumber(handler.httpGet.port, container);
      const answer = await httpGet(
        handler.httpGet,
        handler.httpGet.host || options.podIp,
        port,
        timeoutMs,
        world.clock,
        "lifecycle",
      );
      return answer.status >= 200 && answer.status < 400 ? undefined : `HTTP status ${answer.status}`;
    }
    if (handler.sleep) await world.clock.sleep(handler.sleep.seconds * 1000, signal);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
