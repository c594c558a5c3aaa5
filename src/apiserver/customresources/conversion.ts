/**
 * Between versions of a custom resource: only the name changes, or a webhook says what does.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#webhook-conversion
 */
import {
  type apiextensionsv1,
  internalError,
  isObject,
  type KubernetesObject,
  type metav1,
  sameJson,
} from "#api";
import { messageOf, type World } from "#base";
import type { WebhookClient } from "../webhooks/webhook-client.ts";

export interface Converter {
  /** A webhook has to be asked. */
  readonly isWebhook: boolean;
  /** Objects of the caller's own; answers as many in the same order. */
  convert(objects: readonly KubernetesObject[], apiVersion: string): Promise<KubernetesObject[]>;
}

const timeoutMs = 30_000;
/** So many objects stand in one review. */
const batchMax = 500;

export const renamingConverter: Converter = {
  isWebhook: false,
  convert: async (objects, apiVersion) => objects.map((object) => Object.assign(object, { apiVersion })),
};

export function converterOf(
  { group, names, conversion }: Readonly<apiextensionsv1.CustomResourceDefinitionSpec>,
  webhooks: WebhookClient,
  world: World,
): Converter {
  const config = conversion?.webhook?.clientConfig;
  if (conversion?.strategy !== "Webhook" || !config) return renamingConverter;
  const version = conversion.webhook?.conversionReviewVersions.find((v) => v === "v1" || v === "v1beta1");
  const ask = async (objects: readonly KubernetesObject[], apiVersion: string) => {
    const uid = world.random.uuid();
    const review = {
      kind: "ConversionReview",
      apiVersion: `apiextensions.k8s.io/${version ?? "v1"}`,
      request: { uid, desiredAPIVersion: apiVersion, objects },
    };
    const from = `${group}/${objects[0]!.apiVersion.split("/").at(-1)}, Kind=${names.kind}`;
    try {
      return checked(objects, apiVersion, uid, await webhooks.post(config, review, timeoutMs));
    } catch (error) {
      throw internalError(`conversion webhook for ${from} failed: ${messageOf(error)}`);
    }
  };
  return {
    isWebhook: true,
    async convert(objects, apiVersion) {
      const result: KubernetesObject[] = [...objects];
      const others = objects.flatMap((object, i) => (object.apiVersion === apiVersion ? [] : [i]));
      for (let from = 0; from < others.length; from += batchMax) {
        const batch = others.slice(from, from + batchMax);
        const converted = await ask(
          batch.map((i) => objects[i]!),
          apiVersion,
        );
        for (const [at, i] of batch.entries()) result[i] = converted[at]!;
      }
      return result;
    },
  };
}

/** The answer, if it is one: a webhook changes what it likes but an object's identity. */
function checked(
  objects: readonly KubernetesObject[],
  apiVersion: string,
  uid: string,
  answer: unknown,
): KubernetesObject[] {
  const response = isObject(answer) && isObject(answer.response) ? answer.response : undefined;
  if (!response) throw new Error("no response provided");
  if (response.uid !== uid)
    throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid)}`);
  const result = isObject(response.result) ? (response.result as Partial<metav1.Status>) : {};
  if (result.status !== "Success") {
    if (result.status !== "Failure")
      throw new Error(
        `response.result.status was ${JSON.stringify(result.status ?? "")}, must be "Success" or "Failure"`,
      );
    throw new Error(result.message || "response.result.message was empty");
  }
  const converted = Array.isArray(response.convertedObjects) ? (response.convertedObjects as unknown[]) : [];
  if (converted.length !== objects.length)
    throw new Error(`webhook returned ${converted.length} objects, expected ${objects.length}`);
  return objects.map((object, i) => checkedObject(object, converted[i], apiVersion, i));
}

function checkedObject(
  original: Readonly<KubernetesObject>,
  converted: unknown,
  apiVersion: string,
  i: number,
): KubernetesObject {
  const at = `invalid converted object at index ${i}`;
  if (!isObject(converted) || !isObject(converted.metadata)) throw new Error(`${at}: it is no object`);
  if (converted.apiVersion !== apiVersion)
    throw new Error(`${at}: invalid groupVersion (expected ${apiVersion}, received ${converted.apiVersion})`);
  if (converted.kind !== original.kind)
    throw new Error(`${at}: invalid kind (expected ${original.kind}, received ${converted.kind})`);
  const metadata = converted.metadata as unknown as metav1.ObjectMeta;
  for (const name of ["name", "namespace", "uid"] as const) {
    if (!sameJson(metadata[name] ?? "", original.metadata[name] ?? ""))
      throw new Error(`${at}: metadata.${name} is immutable`);
  }
  const { labels, annotations } = metadata;
  const kept = { ...original.metadata } as Partial<metav1.ObjectMeta>;
  delete kept.labels;
  delete kept.annotations;
  Object.assign(kept, labels ? { labels } : {}, annotations ? { annotations } : {});
  return { ...converted, metadata: kept } as unknown as KubernetesObject;
}
