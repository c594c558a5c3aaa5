import { describe, expect, test } from "vitest";
import { cellsOf, changeErrorsOf, errorsOf, make } from "../testing/examples.ts";
import { ingresses } from "./ingress.ts";
import { ingressClasses } from "./ingress-class.ts";
import { ipAddresses, ipAddressesV1beta1 } from "./ip-address.ts";
import { networkPolicies } from "./network-policy.ts";
import { serviceCidrs } from "./service-cidr.ts";

const service = { name: "web", port: { number: 80 } };
const subdomainRule = "a lowercase RFC 1123 subdomain must consist of";

describe("ingresses", () => {
  const backend = { service };
  const withPath = (path: object) => ({ spec: { rules: [{ http: { paths: [{ backend, ...path }] } }] } });
  const at = "spec.rules[0].http.paths[0]";

  test.each([
    [withPath({ path: "/", pathType: "Prefix" }), []],
    [withPath({ pathType: "ImplementationSpecific" }), []],
    [{ spec: {} }, ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]],
    [withPath({ path: "/" }), [`${at}.pathType: Required value: pathType must be specified`]],
    [
      withPath({ path: "/", pathType: "Glob" }),
      [
        `${at}.pathType: Unsupported value: "Glob": supported values: "Exact", "ImplementationSpecific", "Prefix"`,
      ],
    ],
    [
      withPath({ path: "a//b/..", pathType: "Exact" }),
      [
        `${at}.path: Invalid value: "a//b/..": must be an absolute path`,
        `${at}.path: Invalid value: "a//b/..": must not contain '//'`,
        `${at}.path: Invalid value: "a//b/..": cannot end with '/..'`,
      ],
    ],
    [{ spec: { rules: [{ host: "a.b", http: {} }] } }, ["spec.rules[0].http.paths: Required value"]],
    [
      { spec: { rules: [{ host: "10.0.0.1" }] } },
      ['spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'],
    ],
    [
      { spec: { defaultBackend: {} } },
      ['spec.defaultBackend: Invalid value: "": resource or service backend is required'],
    ],
    [
      { spec: { defaultBackend: { service, resource: { kind: "K", name: "n" } } } },
      ['spec.defaultBackend: Invalid value: "": cannot set both resource and service backends'],
    ],
    [
      { spec: { defaultBackend: { service: { port: { number: 1, name: "a" } } } } },
      [
        "spec.defaultBackend.service.name: Required value",
        'spec.defaultBackend: Invalid value: "": cannot set both port name & port number',
      ],
    ],
    [
      { spec: { defaultBackend: { service: { name: "a" } } } },
      ["spec.defaultBackend: Required value: port name or number is required"],
    ],
    [
      { spec: { defaultBackend: { resource: { apiGroup: "a", kind: "", name: "a/b" } } } },
      [
        "spec.defaultBackend.resource.kind: Required value",
        "spec.defaultBackend.resource.name: Invalid value: \"a/b\": may not contain '/'",
      ],
    ],
    [
      {
        metadata: { annotations: { "kubernetes.io/ingress.class": "a" } },
        spec: { defaultBackend: backend, ingressClassName: "b" },
      },
      [
        'annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are specified',
      ],
    ],
  ])("%j", (body, errors) => expect(errorsOf(ingresses, body)).toEqual(errors));

  test("hosts may begin with one wildcard", () => {
    const body = (host: string) => ({ spec: { rules: [{ host }], tls: [{ hosts: [host] }] } });
    expect(errorsOf(ingresses, body("*.example.com"))).toEqual([]);
    const errors = errorsOf(ingresses, body("a.*.example.com"));
    expect(errors).toHaveLength(2);
    expect(errors[0]).toContain("a wildcard DNS-1123 subdomain must start with '*.'");
    expect(errors[1]).toMatch(/^spec\.tls\[0\]\.hosts\[0\]: /);
    expect(errorsOf(ingresses, body("A"))[0]).toContain(subdomainRule);
  });

  test("what was let in before stays: secret names, rules behind a wildcard", () => {
    const spec = { defaultBackend: backend, tls: [{ secretName: "A_B" }] };
    expect(errorsOf(ingresses, { spec })).toHaveLength(1);
    expect(changeErrorsOf(ingresses, { spec }, { spec })).toEqual([]);
    expect(changeErrorsOf(ingresses, { spec: { defaultBackend: backend } }, { spec })).toHaveLength(1);
  });

  test("status addresses are addresses, and host names are none", () => {
    const ingress = make(ingresses, {
      spec: { defaultBackend: backend },
      status: { loadBalancer: { ingress: [{ ip: "010.0.0.1" }, { hostname: "1.2.3.4" }] } },
    });
    expect(ingresses.validateStatusUpdate(ingress, make(ingresses, {})).map((e) => e.message)).toEqual([
      'Invalid value: "010.0.0.1": must not have leading 0s',
      'Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
    ]);
  });

  test("columns", () => {
    const rules = ["a", "b", "", "c", "d"].map((host) => ({ host }));
    const status = { loadBalancer: { ingress: [{ ip: "2.2.2.2" }, { hostname: "1.example.com" }] } };
    expect(cellsOf(ingresses, { spec: { rules, tls: [{}] }, status })).toMatchObject({
      Class: "<none>",
      Hosts: "a,b,c + 2 more...",
      Address: "1.example.com,2.2.2.2",
      Ports: "80, 443",
    });
    expect(cellsOf(ingresses, {})).toMatchObject({ Hosts: "*", Ports: "80", Address: "" });
  });

  test("the annotation of old is warned of", () => {
    const metadata = { annotations: { "kubernetes.io/ingress.class": "a" } };
    expect(ingresses.warnings!(make(ingresses, { metadata }), undefined)).toEqual([
      "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead",
    ]);
  });
});

describe("ingress classes", () => {
  const controller = "example.com/ingress";
  test.each([
    [{ spec: { controller } }, []],
    [{ spec: {} }, ["spec.controller: Required value"]],
    [
      { spec: { controller: "nginx" } },
      ['spec.controller: Invalid value: "nginx": must be a domain-prefixed path (such as "acme.io/foo")'],
    ],
    [
      { spec: { controller, parameters: { kind: "K", name: "n", scope: "Namespace" } } },
      ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
    ],
    [
      { spec: { controller, parameters: { kind: "K", name: "n", namespace: "d" } } },
      ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
    ],
    [
      { spec: { controller, parameters: { scope: "World" } } },
      [
        "spec.parameters.kind: Required value",
        "spec.parameters.name: Required value",
        'spec.parameters.scope: Unsupported value: "World": supported values: "Cluster", "Namespace"',
      ],
    ],
  ])("%j", (body, errors) => expect(errorsOf(ingressClasses, body)).toEqual(errors));

  test("the controller is for ever", () => {
    expect(
      changeErrorsOf(ingressClasses, { spec: { controller } }, { spec: { controller: "a.b/c" } }),
    ).toEqual(['spec.controller: Invalid value: "a.b/c": field is immutable']);
  });

  test("parameters in the table", () => {
    const parameters = { apiGroup: "k8s.example.com", kind: "Gate", name: "g" };
    expect(cellsOf(ingressClasses, { spec: { controller, parameters } }).Parameters).toBe(
      "Gate.k8s.example.com/g",
    );
  });
});

describe("network policies", () => {
  const from = (peer: object) => ({ spec: { podSelector: {}, ingress: [{ from: [peer] }] } });
  const port = (ports: object) => ({ spec: { egress: [{ ports: [ports] }] } });
  const peerAt = "spec.ingress[0].from[0]";
  test.each([
    [from({ ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } }), []],
    [from({}), [`${peerAt}: Required value: must specify a peer`]],
    [
      from({ podSelector: {}, ipBlock: { cidr: "10.0.0.0/8" } }),
      [`${peerAt}: Forbidden: may not specify both ipBlock and another peer`],
    ],
    [from({ ipBlock: {} }), [`${peerAt}.ipBlock.cidr: Required value`]],
    [
      from({ ipBlock: { cidr: "10.0.0.0/8", except: ["10.0.0.0/8", "fd00::/8"] } }),
      [
        `${peerAt}.ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of \`cidr\``,
        `${peerAt}.ipBlock.except[1]: Invalid value: "fd00::/8": must be a strict subset of \`cidr\``,
      ],
    ],
    [
      from({ ipBlock: { cidr: "10.0.0.1/8" } }),
      [
        `${peerAt}.ipBlock.cidr: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length`,
      ],
    ],
    [
      port({ port: 80, endPort: 70 }),
      ["spec.egress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`"],
    ],
    [
      port({ port: "http", endPort: 70 }),
      ["spec.egress[0].ports[0].endPort: Invalid value: 70: may not be specified when `port` is non-numeric"],
    ],
    [
      port({ endPort: 70, protocol: "ICMP" }),
      [
        "spec.egress[0].ports[0].endPort: Invalid value: 70: may not be specified when `port` is not specified",
        'spec.egress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
      ],
    ],
    [
      { spec: { policyTypes: ["Ingress", "Both"] } },
      ['spec.policyTypes[1]: Unsupported value: "Both": supported values: "Ingress", "Egress"'],
    ],
  ])("%j", (body, errors) => expect(errorsOf(networkPolicies, body).sort()).toEqual(errors.toSorted()));

  test("types follow from the rules, ports are TCP's", () => {
    const { spec } = make(networkPolicies, port({ port: 53 }));
    expect(spec).toMatchObject({
      policyTypes: ["Ingress", "Egress"],
      egress: [{ ports: [{ protocol: "TCP" }] }],
    });
    expect(make(networkPolicies, {}).spec.policyTypes).toEqual(["Ingress"]);
  });

  test("a CIDR that is there already may stay", () => {
    const bad = from({ ipBlock: { cidr: "10.0.0.1/8" } });
    expect(changeErrorsOf(networkPolicies, bad, bad)).toEqual([]);
    expect(networkPolicies.warnings!(make(networkPolicies, bad), undefined)).toEqual([
      `${peerAt}.ipBlock.cidr: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.0.0.1/32"?)`,
    ]);
  });

  test("the table shows whom it selects", () => {
    expect(cellsOf(networkPolicies, {})["Pod-Selector"]).toBe("<none>");
    const podSelector = { matchLabels: { b: "2", a: "1" } };
    expect(cellsOf(networkPolicies, { spec: { podSelector } })["Pod-Selector"]).toBe("a=1,b=2");
  });
});

describe("addresses and ranges of services", () => {
  test.each([
    ["10.0.0.1", []],
    ["2001:db8::1", []],
    ["2001:DB8::1", ['must be in canonical form ("2001:db8::1")']],
    ["010.0.0.1", ["must not have leading 0s"]],
    ["x", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]],
  ])("an address is named %s", (name, errors) =>
    expect(ipAddresses.validateName(name, false)).toEqual(errors),
  );

  test("its parent is for ever", () => {
    const parent = (name: string) => ({
      spec: { parentRef: { resource: "services", namespace: "d", name } },
    });
    expect(errorsOf(ipAddresses, { spec: { parentRef: {} } })).toEqual([
      "spec.parentRef.resource: Required value",
      "spec.parentRef.name: Required value",
    ]);
    expect(changeErrorsOf(ipAddresses, parent("a"), parent("b"))[0]).toContain("field is immutable");
    expect(cellsOf(ipAddressesV1beta1, parent("a")).ParentRef).toBe("services/d/a");
  });

  test.each([
    [[], ["spec.cidrs: Required value: at least one CIDR required"]],
    [["10.0.0.0/24", "fd00::/112"], []],
    [
      ["10.0.0.0/24", "10.1.0.0/24"],
      [
        'spec.cidrs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64',
      ],
    ],
    [
      ["10.0.0.1/24"],
      ['spec.cidrs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length'],
    ],
  ])("ranges %j", (cidrs, errors) => expect(errorsOf(serviceCidrs, { spec: { cidrs } })).toEqual(errors));

  test("a range may get a second family, and nothing else", () => {
    const change = (before: string[], after: string[]) =>
      changeErrorsOf(serviceCidrs, { spec: { cidrs: before } }, { spec: { cidrs: after } });
    expect(change(["10.0.0.0/24"], ["10.0.0.0/24", "fd00::/112"])).toEqual([]);
    expect(change(["10.0.0.0/24"], ["10.1.0.0/24"])).toEqual([
      'spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable',
    ]);
    expect(change(["10.0.0.0/24", "fd00::/112"], ["10.0.0.0/24"])).toEqual([
      'spec.cidrs: Invalid value: ["10.0.0.0/24"]: field is immutable',
    ]);
  });
});
