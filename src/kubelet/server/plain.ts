/**
 * Servers without TLS, for those who need not say who they are: `healthzPort` tells whether the kubelet is well, and
 * `readOnlyPort` what is no secret on a machine that nobody else reaches.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
import { createServer } from "node:http";
import { messageOf, UserError } from "#base";
import { type Listening, listen } from "./listen.ts";
import { urlOf } from "./request.ts";
import { checkDebugging, dispatch, type Handler, type RouteOptions, routes, sendError } from "./routes.ts";

function servePlain(options: RouteOptions, table: Readonly<Record<string, Handler>>) {
  return createServer((request, response) => {
    const answer = async () => {
      const url = urlOf(request);
      checkDebugging(false, url);
      await dispatch(table, request, response, url);
    };
    answer().catch((error: unknown) => sendError(response, error, options.world));
  });
}

/** Pods, figures and health: nothing that changes anything or looks into containers. Throws `UserError`. */
export function startReadOnlyServer(options: RouteOptions, host: string, port: number): Promise<Listening> {
  const { healthz, pods, stats, metrics } = routes(options);
  return listen(
    servePlain(options, { healthz, pods, stats, metrics } as Record<string, Handler>),
    host,
    port,
    "the kubelet's reading",
  );
}

/** As upstream tries again. */
const againMs = 5000;

/** A port that somebody else has is tried again and again: a node is no worse for it. */
export function startHealthServer(
  options: RouteOptions,
  host: string,
  port: number,
): Pick<Listening, "stop"> {
  const { clock, log } = options.world;
  const ending = new AbortController();
  const { healthz } = routes(options);
  const attempt = async (): Promise<Listening | undefined> => {
    const server = servePlain(options, { healthz } as Record<string, Handler>);
    while (!ending.signal.aborted) {
      try {
        return await listen(server, host, port, "the kubelet's health");
      } catch (error) {
        const mend = error instanceof UserError ? error.mend : undefined;
        log.warn({ error: messageOf(error), mend }, "the kubelet's health is not served");
      }
      await clock.sleep(againMs, ending.signal);
    }
    return undefined;
  };
  const started = attempt();
  return {
    async stop() {
      ending.abort();
      await (await started)?.stop();
    },
  };
}
