/** CustomResourceDefinitions for tests: each with a group of its own, gone when the test is over. */
import {
  type apiextensionsv1,
  customResourceDefinitions,
  type Draft,
  type KubernetesObject,
  type ResourceType,
} from "#api";
import { eventually } from "../eventually.ts";
import type { Given } from "./suite.ts";

export type CustomObject = KubernetesObject &
  Record<string, unknown> & { spec?: Record<string, unknown>; data?: Record<string, unknown> };

type Version = Draft<apiextensionsv1.CustomResourceDefinitionVersion>;

export interface Custom {
  /** Of the definition: `things.<group>`. */
  name: string;
  group: string;
  /** The objects in one version. */
  type(version?: string): ResourceType<CustomObject>;
}

export interface CustomOptions {
  kind?: string;
  group?: string;
  versions?: Version[];
  scope?: "Namespaced" | "Cluster";
  spec?: Draft<apiextensionsv1.CustomResourceDefinitionSpec>;
  labels?: Record<string, string>;
}

export const anyObject = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

export function version(name: string, schema: object = anyObject, more: Version = {}): Version {
  return { name, served: true, storage: true, schema: { openAPIV3Schema: schema as never }, ...more };
}

/** Established and served, discovery included. */
export async function defineCustom(given: Given, options: CustomOptions = {}): Promise<Custom> {
  const { kind = "Thing", scope = "Namespaced", versions = [version("v1")] } = options;
  const group = options.group ?? `${given.namespace}.example.com`;
  const plural = `${kind.toLowerCase()}s`;
  const name = `${plural}.${group}`;
  const all = given.kube.resource(customResourceDefinitions);
  given.afterwards(async () => {
    if (await all.find(name)) await all.delete(name);
  });
  await all.create({
    metadata: { name, ...(options.labels ? { labels: options.labels } : {}) },
    spec: {
      group,
      scope,
      names: { plural, singular: kind.toLowerCase(), kind, listKind: `${kind}List` },
      versions,
      ...options.spec,
    },
  } as Draft<apiextensionsv1.CustomResourceDefinition>);
  const type = (of = versions[0]?.name ?? "v1"): ResourceType<CustomObject> => ({
    group,
    version: of,
    resource: plural,
    kind,
    namespaced: scope === "Namespaced",
  });
  await all.until(name, ({ status }) =>
    Boolean(status?.conditions?.some((each) => each.type === "Established" && each.status === "True")),
  );
  for (const each of versions.filter(({ served }) => served)) {
    const path = given.kube
      .resource(type(each.name), scope === "Namespaced" ? given.namespace : undefined)
      .path();
    await eventually(`${kind} to be served`, async () =>
      (await given.kube.send("GET", path)).code === 200 ? true : undefined,
    );
  }
  return { name, group, type };
}
