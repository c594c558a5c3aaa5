/** What ConfigMaps, Secrets and projections of them have in common as volumes: one way to make each. */
import { configMaps, type corev1, type Draft, secrets } from "#api";
import type { Given } from "../suite.ts";

export type Volume = Draft<corev1.Volume>;
export type Item = { key: string; path: string; mode?: number };

export interface Options {
  items?: Item[];
  defaultMode?: number;
  optional?: boolean;
}

export interface Source {
  /** `configMap`, `secret`, and the same projected. */
  title: string;
  create(given: Given, name: string, data: Record<string, string>): Promise<unknown>;
  update(given: Given, name: string, data: Record<string, string>): Promise<unknown>;
  remove(given: Given, name: string): Promise<unknown>;
  volume(name: string, object: string, options?: Options): Volume;
}

const maps: Omit<Source, "title" | "volume"> = {
  create: ({ kube, namespace }, name, data) =>
    kube.resource(configMaps, namespace).create({ metadata: { name }, data }),
  update: ({ kube, namespace }, name, data) =>
    kube.resource(configMaps, namespace).update(name, (map) => {
      map.data = data;
    }),
  remove: ({ kube, namespace }, name) => kube.resource(configMaps, namespace).delete(name),
};

const hidden: Omit<Source, "title" | "volume"> = {
  create: ({ kube, namespace }, name, data) =>
    kube.resource(secrets, namespace).create({ metadata: { name }, stringData: data }),
  update: ({ kube, namespace }, name, data) =>
    kube.resource(secrets, namespace).update(name, (secret) => {
      const encoded = Object.entries(data).map(([key, value]) => [
        key,
        Buffer.from(value).toString("base64"),
      ]);
      secret.data = Object.fromEntries(encoded) as Record<string, string>;
    }),
  remove: ({ kube, namespace }, name) => kube.resource(secrets, namespace).delete(name),
};

function projected(name: string, source: object, { defaultMode }: Options): Volume {
  return { name, projected: { sources: [source], ...(defaultMode === undefined ? {} : { defaultMode }) } };
}

export const configMapVolume: Source = {
  ...maps,
  title: "A ConfigMap volume",
  volume: (name, object, options = {}) => ({ name, configMap: { name: object, ...options } }),
};

export const secretVolume: Source = {
  ...hidden,
  title: "A Secret volume",
  volume: (name, object, options = {}) => ({ name, secret: { secretName: object, ...options } }),
};

export const projectedConfigMap: Source = {
  ...maps,
  title: "A projected ConfigMap",
  volume(name, object, { defaultMode, ...options } = {}) {
    return projected(
      name,
      { configMap: { name: object, ...options } },
      { ...(defaultMode === undefined ? {} : { defaultMode }) },
    );
  },
};

export const projectedSecret: Source = {
  ...hidden,
  title: "A projected Secret",
  volume(name, object, { defaultMode, ...options } = {}) {
    return projected(
      name,
      { secret: { name: object, ...options } },
      { ...(defaultMode === undefined ? {} : { defaultMode }) },
    );
  },
};
