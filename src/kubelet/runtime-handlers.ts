/**
 * Which of the runtime's handlers a pod's RuntimeClass names, and what that handler can do.
 * https://kubernetes.io/docs/concepts/containers/runtime-class/
 */
import { type corev1, isStatus, runtimeClasses } from "#api";
import type { Client } from "#client";
import type { RuntimeHandler, RuntimeStatus } from "#contracts";

type Feature = keyof NonNullable<RuntimeHandler["features"]>;

export interface RuntimeHandlers {
  /** What the runtime last said of itself. */
  readonly status: RuntimeStatus;
  seen(status: RuntimeStatus): void;
  /** "" is the default one. Throws an `Error` where the class is not there. */
  of(pod: Readonly<corev1.Pod>): Promise<string>;
  supports(handler: string, feature: Feature): boolean;
}

export function createRuntimeHandlers(client: Client): RuntimeHandlers {
  let status: RuntimeStatus = { conditions: [], runtimeHandlers: [] };
  return {
    get status() {
      return status;
    },
    seen(next) {
      status = next;
    },
    async of({ spec }) {
      const name = spec.runtimeClassName;
      if (!name) return "";
      try {
        return (await client.get(runtimeClasses, { name })).handler;
      } catch (error) {
        if (isStatus(error, "NotFound")) throw new Error(`RuntimeClass ${JSON.stringify(name)} not found`);
        throw error;
      }
    },
    supports: (handler, feature) =>
      status.runtimeHandlers.find(({ name }) => name === handler)?.features?.[feature] ?? false,
  };
}
