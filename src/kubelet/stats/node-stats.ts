/** What the node uses, in the three forms in which it is asked for; nobody asks, nothing is measured. */
import type { corev1 } from "#api";
import { messageOf } from "#base";
import type { PodContext } from "../pod-context.ts";
import { isFinal } from "../pod-status.ts";
import { claimNameOf } from "../volumes/persistent-volume-claim.ts";
import { cadvisorMetrics } from "./cadvisor-metrics.ts";
import { createObserver, type NodeUsage } from "./observation.ts";
import { resourceMetrics } from "./resource-metrics.ts";
import { Rates, summaryOf } from "./summary.ts";
import { type ClaimUsage, volumeMetrics } from "./volume-metrics.ts";

export interface NodeStats {
  look(withDisks: boolean): Promise<NodeUsage>;
  /** The JSON of `/stats/summary`. */
  summary(onlyCpuAndMemory: boolean): Promise<object>;
  /** The text of `/metrics/resource`. */
  resource(): Promise<string>;
  /** The text of `/metrics/cadvisor`. */
  cadvisor(): Promise<string>;
  /** What `/metrics` says of the pods' claims. */
  claims(): string;
}

export interface NodeStatsOptions {
  context: PodContext;
  pods(): readonly Readonly<corev1.Pod>[];
  /** Below it lie the pods' folders. */
  diskPath: string;
  cpus: number;
}

/** A rate needs two looks: whoever asks for the first time waits this long for the second. */
const firstRateMs = 600;

export function createNodeStats({ context, pods, diskPath, cpus }: NodeStatsOptions): NodeStats {
  const { clock, log } = context.world;
  const observer = createObserver(context, diskPath);
  const rates = new Rates();
  let isFirst = true;
  const active = () =>
    pods().filter((pod) => !isFinal(context.statuses.get(pod.metadata.uid)?.phase ?? pod.status?.phase));
  const look = (withDisks: boolean) => observer.look(active(), withDisks);
  return {
    look,
    async summary(onlyCpuAndMemory) {
      if (isFirst) {
        isFirst = false;
        summaryOf(context.nodeName, await look(false), rates);
        await clock.sleep(firstRateMs);
      }
      return summaryOf(context.nodeName, await look(!onlyCpuAndMemory), rates);
    },
    async resource() {
      try {
        return resourceMetrics(await look(false));
      } catch (error) {
        log.warn({ error: messageOf(error) }, "the runtime could not be asked what its containers use");
        return resourceMetrics(undefined);
      }
    },
    claims: () => volumeMetrics(active().flatMap((pod) => claimsOf(context, pod))),
    cadvisor: async () =>
      cadvisorMetrics(await look(true), { cpus, cfsPeriodUs: context.figures.cfsPeriodUs }),
  };
}

function claimsOf({ volumes }: PodContext, pod: Readonly<corev1.Pod>): ClaimUsage[] {
  const { uid, namespace = "" } = pod.metadata;
  const known = volumes.usage(uid);
  return (pod.spec.volumes ?? []).flatMap((volume) => {
    const usage = known.get(volume.name);
    const claim = claimNameOf(pod, volume);
    return usage && claim ? [{ namespace, claim, usage }] : [];
  });
}
