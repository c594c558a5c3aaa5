/** Pods that do something and say what came of it. */
import { type corev1, type Draft, pods } from "#api";
import { eventually } from "../eventually.ts";
import type { Given } from "./suite.ts";

type PodSpec = Draft<corev1.PodSpec>;

export interface PodOptions {
  name?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  spec?: PodSpec;
}

/** A container that runs one shell script. */
export function shell(
  image: string,
  script: string,
  more: Draft<corev1.Container> = {},
): Draft<corev1.Container> {
  return { name: "test", image, imagePullPolicy: "IfNotPresent", command: ["sh", "-c", script], ...more };
}

export async function createPod(given: Given, options: PodOptions): Promise<string> {
  const { labels, annotations, spec, name } = options;
  const metadata = {
    ...(name ? { name } : { generateName: "pod-" }),
    ...(labels ? { labels } : {}),
    ...(annotations ? { annotations } : {}),
  };
  const all = given.kube.resource(pods, given.namespace);
  const whole = { restartPolicy: "Never" as const, terminationGracePeriodSeconds: 0, ...spec };
  return (await all.create({ metadata, spec: whole })).metadata.name ?? "";
}

/** Its whole output, once it has succeeded. */
export async function outputOf(
  given: Given,
  container: Draft<corev1.Container>,
  options: PodOptions = {},
): Promise<string> {
  const spec: PodSpec = {
    ...options.spec,
    containers: [container, ...(options.spec?.containers ?? [])] as Draft<corev1.Container>[],
  };
  const name = await createPod(given, { ...options, spec });
  await given.kube.resource(pods, given.namespace).until(
    name,
    ({ status }) => {
      if (status?.phase === "Failed")
        throw new Error(`the pod failed: ${JSON.stringify(status.containerStatuses)}`);
      return status?.phase === "Succeeded";
    },
    90_000,
  );
  return logsOf(given, name, container.name);
}

export async function logsOf({ kube, namespace }: Given, pod: string, container = "test"): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/pods/${pod}/log`;
  const answer = await kube.send("GET", path, { query: { container } });
  if (answer.code !== 200) throw new Error(answer.text);
  return answer.text;
}

/** Waits until the pod's output holds the text. */
export function untilLogged(
  given: Given,
  pod: string,
  wanted: string | RegExp,
  container = "test",
): Promise<string> {
  return eventually(
    `${wanted} in the log of ${pod}`,
    async () => {
      const text = await logsOf(given, pod, container);
      const isThere = typeof wanted === "string" ? text.includes(wanted) : wanted.test(text);
      if (isThere) return text;
      throw new Error(text.slice(-1_000));
    },
    150_000,
  );
}
