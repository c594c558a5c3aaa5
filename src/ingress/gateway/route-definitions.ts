/** The schemas of HTTPRoute and GRPCRoute. https://gateway-api.sigs.k8s.io/api-types/httproute/ */
import {
  conditions,
  controllerName,
  duration,
  group,
  hostname,
  kind,
  list,
  namespaceName,
  number,
  object,
  objectName,
  portNumber,
  preciseHostname,
  type Schema,
  sectionName,
  text,
  words,
} from "./schema.ts";
import { gatewayGroup } from "./types.ts";

const parentReference = object("A Gateway, or one of its listeners.", {
  group: group(gatewayGroup),
  kind: kind("Gateway"),
  "name!": objectName,
  namespace: namespaceName,
  sectionName: sectionName("The name of a listener."),
  port: portNumber,
});

export const routeStatus = object("The state of the route.", {
  "parents!": list(
    "The state at each parent.",
    object("The state at a parent.", {
      "parentRef!": parentReference,
      "controllerName!": controllerName(),
      conditions: conditions(),
    }),
    32,
  ),
});

const headerName = text("The name of a header, in any case.", {
  minLength: 1,
  maxLength: 256,
  pattern: "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$",
});

const headerList = (description: string) =>
  list(
    description,
    object("A header.", {
      "name!": headerName,
      "value!": text("Its value.", { minLength: 1, maxLength: 4096 }),
    }),
    16,
    { keys: ["name"] },
  );

const headerFilter = (description: string) =>
  object(description, {
    set: headerList("Headers that replace those of the same name."),
    add: headerList("Headers beside those of the same name."),
    remove: list("Headers that go.", { type: "string" }, 16),
  });

const pathModifier = object(
  "What becomes of the path.",
  {
    "type!": words("What is replaced.", "ReplaceFullPath", "ReplacePrefixMatch"),
    replaceFullPath: text("The new path.", { maxLength: 1024 }),
    replacePrefixMatch: text("What stands in the place of the prefix.", { maxLength: 1024 }),
  },
  [
    "self.type == 'ReplaceFullPath' ? has(self.replaceFullPath) : !has(self.replaceFullPath)",
    "replaceFullPath belongs to type ReplaceFullPath, and is required there",
  ],
  [
    "self.type == 'ReplacePrefixMatch' ? has(self.replacePrefixMatch) : !has(self.replacePrefixMatch)",
    "replacePrefixMatch belongs to type ReplacePrefixMatch, and is required there",
  ],
);

const extensionRef = object("A filter of an implementation.", {
  "group!": group(),
  "kind!": kind(),
  "name!": objectName,
});

const backendObject = {
  group: group(""),
  kind: kind("Service"),
  "name!": objectName,
  namespace: namespaceName,
  port: portNumber,
};

const portRule: [string, string] = [
  "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
  "Must have port for Service reference",
];

const mirror = object("Where copies of requests go.", {
  "backendRef!": object("A Service.", backendObject, portRule),
  percent: number("The share of them, in percent.", 0, 100),
});

const strings = (description: string, maxItems = 64) => list(description, { type: "string" }, maxItems);

const cors = object("Cross-origin requests.", {
  allowOrigins: strings("Origins that may ask."),
  allowCredentials: { description: "Whether credentials may come along.", type: "boolean" },
  allowMethods: strings("Methods they may use.", 9),
  allowHeaders: strings("Headers they may send."),
  exposeHeaders: strings("Headers they may see."),
  maxAge: number("Seconds that browsers may remember this.", 1, 2 ** 31 - 1, { default: 5 }),
});

const redirect = object("The client is sent elsewhere.", {
  scheme: words("The scheme.", "http", "https"),
  hostname: preciseHostname,
  path: pathModifier,
  port: portNumber,
  statusCode: {
    description: "The code of the answer.",
    type: "integer",
    enum: [301, 302, 303, 307, 308],
    default: 302,
  },
});

const rewrite = object("The request is changed.", { hostname: preciseHostname, path: pathModifier });

/** The filters of a kind of route: each type with the property that belongs to it. */
function filters(maxItems: number, byType: Record<string, Schema>): Schema {
  const property = (type: string) => type.replace(/^([A-Z]+(?![a-z])|[A-Z])/, (start) => start.toLowerCase());
  const types = Object.keys(byType);
  const fields = Object.fromEntries(types.map((type) => [property(type), byType[type]!]));
  const rules = types.map((type): [string, string] => {
    const name = property(type);
    return [
      `self.type == '${type}' ? has(self.${name}) : !has(self.${name})`,
      `filter.${name} must be specified for ${type} filter.type, and for no other`,
    ];
  });
  const filter = object(
    "What is done on the way.",
    { "type!": words("Which one.", ...types), ...fields },
    ...rules,
  );
  return list("What is done on the way, in this order.", filter, maxItems);
}

const httpFilters = filters(16, {
  RequestHeaderModifier: headerFilter("Headers of the request."),
  ResponseHeaderModifier: headerFilter("Headers of the answer."),
  RequestMirror: mirror,
  RequestRedirect: redirect,
  URLRewrite: rewrite,
  CORS: cors,
  ExtensionRef: extensionRef,
});

const grpcFilters = filters(16, {
  RequestHeaderModifier: headerFilter("Headers of the request."),
  ResponseHeaderModifier: headerFilter("Headers of the answer."),
  RequestMirror: mirror,
  ExtensionRef: extensionRef,
});

const backendRefs = (filterList: Schema) =>
  list(
    "Where requests go, by weight.",
    object(
      "A Service.",
      { ...backendObject, weight: number("Its share.", 0, 1_000_000, { default: 1 }), filters: filterList },
      portRule,
    ),
    16,
  );

const matchType = (otherwise: string, ...choices: string[]): Schema => ({
  ...words("How it is compared.", ...choices),
  default: otherwise,
});

const valueMatches = (description: string, name: Schema) =>
  list(
    description,
    object("A name with its value.", {
      type: matchType("Exact", "Exact", "RegularExpression"),
      "name!": name,
      "value!": text("The value.", { minLength: 1, maxLength: 4096 }),
    }),
    16,
    { keys: ["name"] },
  );

const pathMatch: Schema = {
  ...object(
    "The path.",
    {
      type: matchType("PathPrefix", "Exact", "PathPrefix", "RegularExpression"),
      value: text("The path, prefix or pattern.", { maxLength: 1024, default: "/" }),
    },
    [
      "(self.type in ['Exact','PathPrefix']) ? self.value.startsWith('/') : true",
      "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
    ],
    [
      "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('//') : true",
      "must not contain '//' when type one of ['Exact', 'PathPrefix']",
    ],
    [
      "(self.type in ['Exact','PathPrefix']) ? !self.value.matches('/[.][.]?(/|$)') : true",
      "must not contain '/./' or '/../' when type one of ['Exact', 'PathPrefix']",
    ],
    [
      "(self.type in ['Exact','PathPrefix']) ? self.value.matches('^(?:[-A-Za-z0-9/._~!$&\\'()*+,;=:@]|[%][0-9a-fA-F]{2})+$') : true",
      "must only contain valid characters (matching ^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$) for types ['Exact', 'PathPrefix']",
    ],
  ),
  default: { type: "PathPrefix", value: "/" },
};

const httpMatch = object("A condition.", {
  path: pathMatch,
  headers: valueMatches("Headers, all of them.", headerName),
  queryParams: valueMatches("Parameters of the query, all of them.", headerName),
  method: words(
    "The method.",
    ...["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"],
  ),
});

const grpcMatch = object("A condition.", {
  method: object(
    "A method of a service.",
    {
      type: matchType("Exact", "Exact", "RegularExpression"),
      service: text("The service, with its package.", { maxLength: 1024 }),
      method: text("The method.", { maxLength: 1024 }),
    },
    ["has(self.service) || has(self.method)", "One or both of 'service' or 'method' must be specified"],
  ),
  headers: valueMatches("Headers, all of them.", headerName),
});

const timeouts = object(
  "How long things may take.",
  {
    request: duration("The whole answer to the client."),
    backendRequest: duration("One request to a server."),
  },
  [
    "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))",
    "backendRequest timeout cannot be longer than request timeout",
  ],
);

const hostnames = list("The names this route is for.", hostname, 16);
const parentRefs = list("The Gateways this route is for.", parentReference, 32);
const ruleName = sectionName("The name of the rule.");

export const httpRouteSpec = object("What goes where.", {
  parentRefs,
  hostnames,
  rules: {
    ...list(
      "What is done with requests.",
      object(
        "Requests of these kinds go there.",
        {
          name: ruleName,
          matches: {
            ...list("Any of them.", httpMatch, 64),
            default: [{ path: { type: "PathPrefix", value: "/" } }],
          },
          filters: httpFilters,
          backendRefs: backendRefs(httpFilters),
          timeouts,
        },
        [
          "!(has(self.filters) && self.filters.exists(f, has(f.requestRedirect)) && has(self.backendRefs) && size(self.backendRefs) > 0)",
          "RequestRedirect filter must not be used together with backendRefs",
        ],
        [
          "!(has(self.filters) && self.filters.exists(f, has(f.requestRedirect)) && self.filters.exists(f, has(f.urlRewrite)))",
          "May specify either requestRedirect or urlRewrite, but not both",
        ],
      ),
      16,
      { minItems: 1 },
    ),
    default: [{ matches: [{ path: { type: "PathPrefix", value: "/" } }] }],
  },
});

export const grpcRouteSpec = object("What goes where.", {
  parentRefs,
  hostnames,
  rules: list(
    "What is done with calls.",
    object("Calls of these kinds go there.", {
      name: ruleName,
      matches: list("Any of them.", grpcMatch, 64),
      filters: grpcFilters,
      backendRefs: backendRefs(grpcFilters),
    }),
    16,
  ),
});
