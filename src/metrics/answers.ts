/**
 * What the resource metrics API answers: discovery, lists, single objects, tables. Pure.
 * https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/#metrics-api
 */
import { type corev1, formatTime, matchesLabels, notFound, parseLabelSelector } from "#api";
import { documentAt } from "./openapi.ts";
import type { Scraper } from "./scraper.ts";
import { amountsOf, sumOf, timesOf } from "./usage.ts";

export interface Known {
  nodes(): readonly Readonly<corev1.Node>[];
  pods(namespace: string | undefined): readonly Readonly<corev1.Pod>[];
  scraper: Pick<Scraper, "node" | "pod">;
  nowMs: number;
}

export interface Question {
  path: string;
  query: URLSearchParams;
  asTable: boolean;
}

const group = "metrics.k8s.io";
const version = `${group}/v1beta1`;
const prefix = `/apis/${version}`;

interface Item {
  metadata: ReturnType<typeof metadataOf>;
  timestamp: string;
  window: string;
}

/** What is answered, and what a table tells of it. */
interface Measured {
  item: Item;
  total: { cpu: string; memory: string };
}

const resource = (name: string, kind: string, namespaced: boolean) => ({
  name,
  singularName: "",
  namespaced,
  kind,
  verbs: ["get", "list"],
});

const discovery = {
  kind: "APIResourceList",
  apiVersion: "v1",
  groupVersion: version,
  resources: [resource("nodes", "NodeMetrics", false), resource("pods", "PodMetrics", true)],
};

function metadataOf({ metadata }: Readonly<corev1.Node | corev1.Pod>, nowMs: number) {
  const { name, namespace, labels } = metadata;
  return {
    name,
    ...(namespace ? { namespace } : {}),
    creationTimestamp: formatTime(nowMs),
    ...(labels ? { labels } : {}),
  };
}

function nodeItem(node: Readonly<corev1.Node>, { scraper, nowMs }: Known): Measured[] {
  const usage = scraper.node(node.metadata.name);
  if (!usage) return [];
  const total = amountsOf(usage);
  return [{ item: { metadata: metadataOf(node, nowMs), ...timesOf([usage]), usage: total } as Item, total }];
}

/** A pod of which a container is not measured yet is left out: half of it would mislead. */
function podItem(pod: Readonly<corev1.Pod>, { scraper, nowMs }: Known): Measured[] {
  const { namespace = "", name } = pod.metadata;
  const usages = scraper.pod(pod.spec.nodeName ?? "", namespace, name);
  const running = (pod.status?.containerStatuses ?? []).filter((each) => each.state?.running);
  if (usages.size === 0 || !running.every((each) => usages.has(each.name))) return [];
  const containers = [...usages].map(([container, usage]) => ({ name: container, usage: amountsOf(usage) }));
  const all = [...usages.values()];
  const item = { metadata: metadataOf(pod, nowMs), ...timesOf(all), containers } as Item;
  return [{ item, total: amountsOf(sumOf(all)) }];
}

function tableOf(measured: readonly Measured[]): object {
  const columns = ["Name", "cpu", "memory", "Window"];
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: {},
    columnDefinitions: columns.map((name) => ({
      name,
      type: "string",
      format: name === "Name" ? "name" : "",
      description: "",
      priority: 0,
    })),
    rows: measured.map(({ item: { metadata, window }, total }) => ({
      cells: [metadata.name, total.cpu, total.memory, window],
      object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata },
    })),
  };
}

function listOf(kind: string, measured: readonly Measured[], { query, asTable }: Question): object {
  const labels = parseLabelSelector(query.get("labelSelector") ?? "");
  const field = /^metadata\.name=+(.+)$/.exec(query.get("fieldSelector") ?? "")?.[1];
  const chosen = measured.filter(
    ({ item: { metadata } }) =>
      matchesLabels(labels, metadata.labels ?? {}) && (field === undefined || metadata.name === field),
  );
  if (asTable) return tableOf(chosen);
  return { kind: `${kind}List`, apiVersion: version, metadata: {}, items: chosen.map(({ item }) => item) };
}

function one(kind: string, measured: readonly Measured[], name: string, { asTable }: Question): object {
  const [found] = measured;
  if (!found) throw notFound({ group, resource: kind.toLowerCase() }, name);
  return asTable ? tableOf(measured) : { kind, apiVersion: version, ...found.item };
}

const paths = {
  nodes: new RegExp(`^${prefix}/nodes(?:/([^/]+))?$`),
  pods: new RegExp(`^${prefix}(?:/namespaces/([^/]+))?/pods(?:/([^/]+))?$`),
};

/** Whether nobody has to be asked for the answer. */
export const isDiscovery = (path: string) => path === prefix || documentAt(path) !== undefined;

/** Undefined for a path that is not served. Throws a `StatusError`. */
export function answer(question: Question, known: Known): object | undefined {
  const { path } = question;
  const described = path === prefix ? discovery : documentAt(path);
  if (described) return described;
  const ofNodes = paths.nodes.exec(path);
  if (ofNodes) {
    const [, name] = ofNodes;
    const chosen = known.nodes().filter((node) => name === undefined || node.metadata.name === name);
    const items = chosen.flatMap((node) => nodeItem(node, known));
    return name === undefined
      ? listOf("NodeMetrics", items, question)
      : one("NodeMetrics", items, name, question);
  }
  const [matched, namespace, name] = paths.pods.exec(path) ?? [];
  if (matched === undefined || (name !== undefined && namespace === undefined)) return undefined;
  const chosen = known.pods(namespace).filter((pod) => name === undefined || pod.metadata.name === name);
  const items = chosen.flatMap((pod) => podItem(pod, known));
  if (name === undefined) return listOf("PodMetrics", items, question);
  return one("PodMetrics", items, `${namespace}/${name}`, question);
}
