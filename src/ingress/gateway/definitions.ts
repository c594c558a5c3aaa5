/**
 * The custom resources of the Gateway API as a new cluster has them: the standard channel's fields that are served here.
 * Whoever applies a release of the project itself gets that one: it is left alone.
 * https://gateway-api.sigs.k8s.io/reference/spec/
 */
import { grpcRouteSpec, httpRouteSpec, routeStatus } from "./route-definitions.ts";
import {
  conditions,
  controllerName,
  type Definition,
  definition,
  group,
  hostname,
  kind,
  list,
  namespaceName,
  number,
  object,
  objectName,
  portNumber,
  type Schema,
  sectionName,
  text,
  unseen,
  words,
} from "./schema.ts";
import { gatewayGroup } from "./types.ts";

const gatewayClassSpec = object("What the class is.", {
  "controllerName!": controllerName(["self == oldSelf", "Value is immutable"]),
  description: text("For people.", { maxLength: 64 }),
  parametersRef: object("Parameters of the class.", {
    "group!": group(),
    "kind!": kind(),
    "name!": objectName,
    namespace: namespaceName,
  }),
});

const gatewayClassStatus: Schema = {
  ...object("The state of the class.", {
    conditions: conditions(),
    supportedFeatures: list(
      "What the class can do.",
      object("A feature.", { "name!": text("Its name.") }),
      64,
      { keys: ["name"] },
    ),
  }),
};

const routeKinds = (description: string, more: Schema = {}): Schema =>
  list(description, object("A kind of route.", { group: group(gatewayGroup), "kind!": kind() }), 8, more);

const selectorSchema = object("Labels.", {
  matchLabels: {
    description: "Labels with their values.",
    type: "object",
    additionalProperties: { type: "string" },
  },
  matchExpressions: list(
    "Requirements, all of which must hold.",
    object("A requirement.", {
      "key!": text("The label."),
      "operator!": text("In, NotIn, Exists or DoesNotExist."),
      values: list("The values.", { type: "string" }, 256),
    }),
    64,
  ),
});

const listener = object("A port with a protocol.", {
  "name!": sectionName("Its name in the Gateway."),
  hostname,
  "port!": portNumber,
  "protocol!": text("HTTP or HTTPS.", {
    minLength: 1,
    maxLength: 255,
    pattern:
      "^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9]+$",
  }),
  tls: object(
    "How TLS ends here.",
    {
      mode: { ...words("Terminate, or Passthrough.", "Terminate", "Passthrough"), default: "Terminate" },
      certificateRefs: list(
        "Secrets with certificates.",
        object("A Secret.", {
          group: group(""),
          kind: kind("Secret"),
          "name!": objectName,
          namespace: namespaceName,
        }),
        64,
      ),
      options: {
        description: "Options of implementations.",
        type: "object",
        maxProperties: 16,
        additionalProperties: { type: "string", maxLength: 4096 },
      },
    },
    [
      "self.mode == 'Terminate' ? size(self.certificateRefs) > 0 || size(self.options) > 0 : true",
      "certificateRefs or options must be specified when mode is Terminate",
    ],
  ),
  allowedRoutes: {
    ...object("Which routes may attach.", {
      namespaces: {
        ...object("Where they may be.", {
          from: {
            ...words("All, Same, Selector or None.", "All", "Selector", "Same", "None"),
            default: "Same",
          },
          selector: selectorSchema,
        }),
        default: { from: "Same" },
      },
      kinds: routeKinds("Of which kinds."),
    }),
    default: { namespaces: { from: "Same" } },
  },
});

const listeners = list(
  "Where requests come in.",
  listener,
  64,
  { keys: ["name"], minItems: 1 },
  [
    "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
    "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
  ],
  [
    "self.all(l, (l.protocol == 'HTTPS' && has(l.tls)) ? (l.tls.mode == '' || l.tls.mode == 'Terminate') : true)",
    "tls mode must be Terminate for protocol HTTPS",
  ],
  [
    "self.all(l, l.protocol in ['TCP', 'UDP'] ? (!has(l.hostname) || l.hostname == '') : true)",
    "hostname must not be specified for protocols ['TCP', 'UDP']",
  ],
  [
    "self.all(l1, self.exists_one(l2, l1.name == l2.name))",
    "Listener name must be unique within the Gateway",
  ],
  [
    "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))",
    "Combination of port, protocol and hostname must be unique for each listener",
  ],
);

const addressType = (otherwise: string) =>
  text("IPAddress or Hostname.", { minLength: 1, maxLength: 253, default: otherwise });

const gatewaySpec = object("What the Gateway is to be.", {
  "gatewayClassName!": objectName,
  "listeners!": listeners,
  addresses: list(
    "Addresses that are wished for.",
    object("An address.", {
      type: addressType("IPAddress"),
      value: text("The address.", { maxLength: 253 }),
    }),
    16,
  ),
  infrastructure: object("What belongs to it.", {
    labels: strings("Labels of what is made for it."),
    annotations: strings("Annotations of what is made for it."),
    parametersRef: object("Parameters.", { "group!": group(), "kind!": kind(), "name!": objectName }),
  }),
});

function strings(description: string): Schema {
  return { description, type: "object", maxProperties: 8, additionalProperties: { type: "string" } };
}

const gatewayStatus: Schema = {
  ...object("The state of the Gateway.", {
    addresses: list(
      "Where it can be reached.",
      object("An address.", { type: addressType("IPAddress"), "value!": text("The address.") }),
      16,
    ),
    conditions: conditions("Accepted", "Programmed"),
    listeners: list(
      "The state of each listener.",
      object("The state of a listener.", {
        "name!": sectionName("Which listener."),
        supportedKinds: routeKinds("The kinds of routes that may attach."),
        "attachedRoutes!": number("How many routes are attached.", 0, 2 ** 31 - 1),
        "conditions!": conditions(),
      }),
      64,
      { keys: ["name"] },
    ),
  }),
  default: { conditions: ["Accepted", "Programmed"].map(unseen) },
};

const referenceGrantSpec = object("Who may refer to what here.", {
  "from!": list(
    "Who may refer.",
    object("Objects of a kind in a namespace.", {
      "group!": group(),
      "kind!": kind(),
      "namespace!": namespaceName,
    }),
    16,
    { minItems: 1 },
  ),
  "to!": list(
    "What may be referred to.",
    object("Objects of a kind, or one of them.", { "group!": group(), "kind!": kind(), name: objectName }),
    16,
    { minItems: 1 },
  ),
});

export function gatewayDefinitions(): Definition[] {
  return [
    definition(gatewayGroup, {
      kind: "GatewayClass",
      plural: "gatewayclasses",
      shortNames: ["gc"],
      scope: "Cluster",
      columns: [
        ["Controller", ".spec.controllerName"],
        ["Accepted", '.status.conditions[?(@.type=="Accepted")].status'],
        ["Description", ".spec.description", 1],
      ],
      spec: gatewayClassSpec,
      status: gatewayClassStatus,
    }),
    definition(gatewayGroup, {
      kind: "Gateway",
      plural: "gateways",
      shortNames: ["gtw"],
      columns: [
        ["Class", ".spec.gatewayClassName"],
        ["Address", ".status.addresses[*].value"],
        ["Programmed", '.status.conditions[?(@.type=="Programmed")].status'],
      ],
      spec: gatewaySpec,
      status: gatewayStatus,
    }),
    definition(gatewayGroup, {
      kind: "HTTPRoute",
      plural: "httproutes",
      columns: [["Hostnames", ".spec.hostnames"]],
      spec: httpRouteSpec,
      status: routeStatus,
    }),
    definition(gatewayGroup, {
      kind: "GRPCRoute",
      plural: "grpcroutes",
      columns: [["Hostnames", ".spec.hostnames"]],
      spec: grpcRouteSpec,
      status: routeStatus,
    }),
    definition(gatewayGroup, {
      kind: "ReferenceGrant",
      plural: "referencegrants",
      shortNames: ["refgrant"],
      versions: ["v1", "v1beta1"],
      spec: referenceGrantSpec,
    }),
  ];
}
