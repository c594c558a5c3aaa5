/**
 * Reads measurements from whoever serves the metrics APIs: a metrics server, a metrics adapter. All values are in
 * thousandths. https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#support-for-metrics-apis
 */
import { isStatus, quantityMilliValue } from "#api";
import { goDurationMs, messageOf } from "#base";
import { type Client, errorOf, readText } from "#client";

export interface PodMetric {
  readonly value: number;
  readonly atMs: number;
  readonly windowMs: number;
}

/** By the name of the pod. */
export type PodMetrics = ReadonlyMap<string, PodMetric>;

const defaultWindowMs = 60_000;

interface PodMetricsItem {
  metadata?: { name?: string };
  timestamp?: string;
  window?: string;
  containers?: { name?: string; usage?: Record<string, string> }[];
}

interface MetricValue {
  describedObject?: { name?: string };
  timestamp?: string;
  windowSeconds?: number;
  value?: string;
}

async function read<T>({ transport }: Client, path: string, query: Record<string, string>): Promise<T> {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const text = new URLSearchParams(given).toString();
  const answer = await transport.send({ method: "GET", path: text ? `${path}?${text}` : path });
  const body = await readText(answer.body);
  if (answer.status >= 300) throw errorOf(answer.status, body);
  return JSON.parse(body) as T;
}

function usageOf({ containers = [] }: PodMetricsItem, resource: string, container: string | undefined) {
  const measured = containers.filter(({ name }) => container === undefined || name === container);
  const usages = measured.map(({ usage }) => usage?.[resource]);
  if (usages.length === 0 || usages.includes(undefined)) return undefined;
  return usages.reduce((sum, usage) => sum + quantityMilliValue(usage), 0);
}

/** What each pod uses of a resource, all its containers or one of them. */
export async function resourceMetrics(
  client: Client,
  namespace: string,
  labelSelector: string,
  resource: string,
  container?: string,
): Promise<PodMetrics> {
  const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const found = new Map<string, PodMetric>();
  let items: PodMetricsItem[];
  try {
    items = (await read<{ items?: PodMetricsItem[] }>(client, path, { labelSelector })).items ?? [];
  } catch (error) {
    throw new Error(
      `unable to fetch metrics from resource metrics API: ${wordsOf(error, "pods.metrics.k8s.io")}`,
    );
  }
  if (items.length === 0) throw new Error("no metrics returned from resource metrics API");
  for (const item of items) {
    const value = usageOf(item, resource, container);
    if (value === undefined) continue;
    const atMs = Date.parse(item.timestamp ?? "");
    found.set(item.metadata?.name ?? "", {
      value,
      atMs,
      windowMs: goDurationMs(item.window ?? "") || defaultWindowMs,
    });
  }
  return found;
}

/** An API that nobody serves is told as a client of it would see it. */
function wordsOf(error: unknown, what: string): string {
  return isStatus(error, "NotFound")
    ? `the server could not find the requested resource (get ${what})`
    : messageOf(error);
}

async function customMetrics(
  client: Client,
  path: string,
  query: Record<string, string>,
): Promise<readonly MetricValue[]> {
  const versions = ["v1beta2", "v1beta1"];
  let last: unknown;
  for (const version of versions) {
    try {
      const url = `/apis/custom.metrics.k8s.io/${version}${path}`;
      return (await read<{ items?: MetricValue[] }>(client, url, query)).items ?? [];
    } catch (error) {
      last = error;
      if (!isStatus(error, "NotFound")) break;
    }
  }
  throw new Error(`unable to fetch metrics from custom metrics API: ${messageOf(last)}`);
}

/** What somebody measures of each pod. */
export async function podsMetrics(
  client: Client,
  namespace: string,
  labelSelector: string,
  metric: string,
  metricLabelSelector: string,
): Promise<PodMetrics> {
  const path = `/namespaces/${encodeURIComponent(namespace)}/pods/*/${encodeURIComponent(metric)}`;
  const items = await customMetrics(client, path, { labelSelector, metricLabelSelector });
  if (items.length === 0) throw new Error("no metrics returned from custom metrics API");
  return new Map(
    items.map(({ describedObject, value, timestamp, windowSeconds }) => [
      describedObject?.name ?? "",
      {
        value: quantityMilliValue(value),
        atMs: Date.parse(timestamp ?? ""),
        windowMs: windowSeconds === undefined ? defaultWindowMs : windowSeconds * 1000,
      },
    ]),
  );
}

/** What somebody measures of one object; `resource` is `services` or `ingresses.networking.k8s.io`. */
export async function objectMetric(
  client: Client,
  namespace: string,
  described: { resource: string; name: string },
  metric: string,
  metricLabelSelector: string,
): Promise<number> {
  const name = encodeURIComponent(described.name);
  const path =
    described.resource === "namespaces"
      ? `/namespaces/${name}/metrics/${encodeURIComponent(metric)}`
      : `/namespaces/${encodeURIComponent(namespace)}/${described.resource}/${name}/${encodeURIComponent(metric)}`;
  const [item] = await customMetrics(client, path, { metricLabelSelector });
  if (!item) throw new Error("unable to fetch metrics from custom metrics API: no metrics returned");
  return quantityMilliValue(item.value);
}

/** What is measured outside the cluster; several series add up. */
export async function externalMetric(
  client: Client,
  namespace: string,
  metric: string,
  labelSelector: string,
): Promise<number> {
  const path = `/apis/external.metrics.k8s.io/v1beta1/namespaces/${encodeURIComponent(namespace)}/${encodeURIComponent(metric)}`;
  let items: { value?: string }[];
  try {
    items = (await read<{ items?: { value?: string }[] }>(client, path, { labelSelector })).items ?? [];
  } catch (error) {
    throw new Error(`unable to fetch metrics from external metrics API: ${messageOf(error)}`);
  }
  if (items.length === 0) throw new Error("no metrics returned from external metrics API");
  return items.reduce((sum, { value }) => sum + quantityMilliValue(value), 0);
}
