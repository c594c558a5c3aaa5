/** Short words for the schemas of custom resources. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema */
import type { apiextensionsv1 } from "#api";

export type Schema = apiextensionsv1.JSONSchemaProps;

export const text = (description: string, more: Schema = {}): Schema => ({
  description,
  type: "string",
  ...more,
});

export const words = (description: string, ...choices: string[]): Schema =>
  text(description, { enum: choices });

export const number = (description: string, minimum: number, maximum: number, more: Schema = {}): Schema => ({
  description,
  type: "integer",
  format: "int32",
  minimum,
  maximum,
  ...more,
});

/** Required are the properties whose name ends with `!`. */
export function object(
  description: string,
  properties: Record<string, Schema>,
  ...rules: [rule: string, message: string][]
): Schema {
  const names = Object.keys(properties);
  const required = names.filter((name) => name.endsWith("!")).map((name) => name.slice(0, -1));
  return {
    description,
    type: "object",
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, schema]) => [name.replace(/!$/, ""), schema]),
    ),
    ...(required.length > 0 ? { required } : {}),
    ...checks(rules),
  };
}

/** An array: a map by `keys`, or a whole. */
export function list(
  description: string,
  items: Schema,
  maxItems: number,
  { keys, ...more }: Schema & { keys?: string[] } = {},
  ...rules: [rule: string, message: string][]
): Schema {
  const kind: Schema = keys
    ? { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys }
    : { "x-kubernetes-list-type": "atomic" };
  return { description, type: "array", items, maxItems, ...kind, ...more, ...checks(rules) };
}

/** In CEL. */
function checks(rules: [rule: string, message: string][]): Schema {
  if (rules.length === 0) return {};
  return { "x-kubernetes-validations": rules.map(([rule, message]) => ({ rule, message })) };
}

const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const domain = `${label}(\\.${label})*`;

export const group = (otherwise?: string): Schema =>
  text("The group of the kind; empty for the core group.", {
    maxLength: 253,
    pattern: `^$|^${domain}$`,
    ...(otherwise === undefined ? {} : { default: otherwise }),
  });

export const kind = (otherwise?: string): Schema =>
  text("The kind, such as Service.", {
    minLength: 1,
    maxLength: 63,
    pattern: "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
    ...(otherwise === undefined ? {} : { default: otherwise }),
  });

export const objectName = text("The name of the object.", { minLength: 1, maxLength: 253 });

export const namespaceName = text("The namespace; that of the object which refers when it is absent.", {
  minLength: 1,
  maxLength: 63,
  pattern: `^${label}$`,
});

export const sectionName = (description: string): Schema =>
  text(description, { minLength: 1, maxLength: 253, pattern: `^${domain}$` });

/** A DNS name whose first label may be `*`. */
export const hostname = text("A DNS name; its first label may be a wildcard.", {
  minLength: 1,
  maxLength: 253,
  pattern: `^(\\*\\.)?${domain}$`,
});

export const preciseHostname = text("A DNS name without wildcards.", {
  minLength: 1,
  maxLength: 253,
  pattern: `^${domain}$`,
});

export const portNumber = number("A port.", 1, 65535);

/** https://gateway-api.sigs.k8s.io/geps/gep-2257/ */
export const duration = (description: string): Schema =>
  text(description, { pattern: "^([0-9]{1,5}(h|m|s|ms)){1,4}$" });

export const controllerName = (...rules: [rule: string, message: string][]): Schema =>
  text("The controller in charge, a domain and a path: example.net/gateway-controller.", {
    minLength: 1,
    maxLength: 253,
    pattern: `^${domain}\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$`,
    ...checks(rules),
  });

const condition = object("One aspect of the state.", {
  "type!": text("Its name.", { maxLength: 316 }),
  "status!": words("Whether it holds.", "True", "False", "Unknown"),
  "reason!": text("Why, in one word.", {
    minLength: 1,
    maxLength: 1024,
    pattern: "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
  }),
  "message!": text("Why, for people.", { maxLength: 32768 }),
  "lastTransitionTime!": text("When the status changed last.", { format: "date-time" }),
  observedGeneration: {
    description: "The generation of the object that was looked at.",
    type: "integer",
    format: "int64",
    minimum: 0,
  },
});

/** What a condition says until somebody looks at the object. */
export const unseen = (type: string) => ({
  type,
  status: "Unknown",
  reason: "Pending",
  message: "Waiting for controller",
  lastTransitionTime: "1970-01-01T00:00:00Z",
});

/** By type; `waiting` are those an object has until somebody looks at it. */
export function conditions(...waiting: string[]): Schema {
  return list("The state, one aspect each.", condition, 8, {
    keys: ["type"],
    ...(waiting.length > 0 ? { default: waiting.map(unseen) } : {}),
  });
}

/** The definition of one kind. Versions differ in name only; the first is stored. */
export interface KindOptions {
  kind: string;
  plural: string;
  shortNames?: string[];
  scope?: "Cluster" | "Namespaced";
  versions?: string[];
  columns?: [name: string, jsonPath: string, priority?: number][];
  spec: Schema;
  status?: Schema;
}

/** The release of the Gateway API that these definitions follow, as tools look for it. */
const release = {
  "gateway.networking.k8s.io/bundle-version": "v1.4.0",
  "gateway.networking.k8s.io/channel": "standard",
  "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api",
};

export type Definition = Pick<apiextensionsv1.CustomResourceDefinition, "spec"> & {
  metadata: { name: string; annotations: Record<string, string> };
};

export function definition(groupName: string, options: KindOptions): Definition {
  const { kind: name, plural, shortNames, scope = "Namespaced", versions = ["v1"], columns = [] } = options;
  const additionalPrinterColumns = [
    ...columns.map(([title, jsonPath, priority]) => ({
      name: title,
      type: "string",
      jsonPath,
      ...(priority ? { priority } : {}),
    })),
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ];
  const openAPIV3Schema: Schema = {
    ...object(`${name} of the Gateway API.`, {
      apiVersion: text("The version of this representation."),
      kind: text("The kind of this object."),
      metadata: { type: "object" },
      "spec!": options.spec,
      ...(options.status ? { status: options.status } : {}),
    }),
  };
  return {
    metadata: { name: `${plural}.${groupName}`, annotations: release },
    spec: {
      group: groupName,
      scope,
      names: {
        kind: name,
        listKind: `${name}List`,
        plural,
        singular: name.toLowerCase(),
        categories: ["gateway-api"],
        ...(shortNames ? { shortNames } : {}),
      },
      versions: versions.map((version, i) => ({
        name: version,
        served: true,
        storage: i === 0,
        additionalPrinterColumns,
        schema: { openAPIV3Schema },
        ...(options.status ? { subresources: { status: {} } } : {}),
      })),
    },
  };
}
