import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1, Draft, discoveryv1 } from "#api";
import { type ProxyState, proxyElements } from "./elements.ts";
import { capacityFor, emptyElements, skeleton, transaction } from "./ruleset.ts";

function service(name: string, spec: Draft<corev1.ServiceSpec>): corev1.Service {
  return { metadata: { name, namespace: "default" }, spec, status: {} } as unknown as corev1.Service;
}

function slice(
  name: string,
  port: number,
  endpoints: Draft<discoveryv1.Endpoint>[],
): discoveryv1.EndpointSlice {
  return {
    addressType: "IPv4",
    metadata: { name: `${name}-x`, namespace: "default", labels: { "kubernetes.io/service-name": name } },
    ports: [{ name: "http", port, protocol: "TCP" }],
    endpoints,
  } as unknown as discoveryv1.EndpointSlice;
}

function state(parts: Partial<ProxyState>): ProxyState {
  return { nodeName: "a", nodeAddresses: ["192.0.2.2"], services: [], slices: [], pods: [], ...parts };
}

const web = service("web", {
  type: "NodePort",
  clusterIP: "10.96.0.7",
  ports: [{ name: "http", port: 80, protocol: "TCP", nodePort: 30080 }],
});

test("a Service becomes one front per address and one element per endpoint", () => {
  const slices = [slice("web", 8080, [{ addresses: ["10.244.0.5"] }, { addresses: ["10.244.0.4"] }])];
  const out = proxyElements(state({ services: [web], slices }));
  expect([...out.services]).toEqual([
    ["10.96.0.7 . tcp . 80", "goto n2"],
    ["192.0.2.2 . tcp . 30080", "goto n2"],
  ]);
  expect(out.endpoints.get("10.96.0.7 . tcp . 80 . 0")).toBe("10.244.0.4 . 8080");
  expect(out.endpoints.get("10.96.0.7 . tcp . 80 . 1")).toBe("10.244.0.5 . 8080");
  expect(out.largest).toBe(2);
});

test("without a ready endpoint the front refuses", () => {
  const slices = [slice("web", 8080, [{ addresses: ["10.244.0.5"], conditions: { ready: false } }])];
  const out = proxyElements(state({ services: [web], slices }));
  expect(out.services.size).toBe(0);
  expect([...out.rejects]).toEqual(["10.96.0.7 . tcp . 80", "192.0.2.2 . tcp . 30080"]);
});

test("terminating endpoints serve only when nothing else does", () => {
  const dying = { addresses: ["10.244.0.5"], conditions: { ready: false, serving: true, terminating: true } };
  const alone = proxyElements(state({ services: [web], slices: [slice("web", 80, [dying])] }));
  expect(alone.endpoints.get("10.96.0.7 . tcp . 80 . 0")).toBe("10.244.0.5 . 80");
  const both = proxyElements(
    state({ services: [web], slices: [slice("web", 80, [dying, { addresses: ["10.244.0.6"] }])] }),
  );
  expect(both.endpoints.get("10.96.0.7 . tcp . 80 . 0")).toBe("10.244.0.6 . 80");
  expect(both.largest).toBe(1);
});

test("externalTrafficPolicy Local keeps to this node, session affinity hashes the client", () => {
  const sticky = service("web", {
    ...web.spec,
    externalTrafficPolicy: "Local",
    sessionAffinity: "ClientIP",
  });
  const slices = [
    slice("web", 80, [
      { addresses: ["10.244.0.5"], nodeName: "a" },
      { addresses: ["10.244.1.5"], nodeName: "b" },
    ]),
  ];
  const out = proxyElements(state({ services: [sticky], slices }));
  expect(out.services.get("10.96.0.7 . tcp . 80")).toBe("goto h2");
  expect(out.services.get("192.0.2.2 . tcp . 30080")).toBe("goto h1");
});

test("headless and ExternalName Services have no front; host ports do", () => {
  const headless = service("db", { clusterIP: "None", ports: [{ port: 5432 }] });
  const outside = service("ext", { type: "ExternalName", externalName: "example.org" });
  const pod = {
    spec: { containers: [{ name: "c", ports: [{ containerPort: 53, hostPort: 5300, protocol: "UDP" }] }] },
    status: { podIP: "10.244.0.9", phase: "Running" },
  } as corev1.Pod;
  const out = proxyElements(state({ services: [headless, outside], pods: [pod] }));
  expect([...out.services.keys()]).toEqual(["192.0.2.2 . udp . 5300"]);
});

test("property: the transactions from any state to any other lead to the same elements", () => {
  const elements = fc.dictionary(
    fc.constantFrom("1", "2", "3", "4"),
    fc.constantFrom<string>("goto n1", "goto n2"),
  );
  fc.assert(
    fc.property(elements, elements, (a, b) => {
      const from = { ...emptyElements(), services: new Map(Object.entries(a)) };
      const to = { ...emptyElements(), services: new Map(Object.entries(b)) };
      const kernel = new Map(from.services);
      for (const line of transaction("t", from, to).split("\n").filter(Boolean)) {
        const [, verb, list] = /^(add|delete) element ip t services \{ (.*) \}$/.exec(line)!;
        for (const element of list!.split(", ")) {
          const [key, value] = element.split(" : ");
          if (verb === "delete") expect(kernel.delete(key!)).toBe(true);
          else kernel.set(key!, value!);
        }
      }
      expect(kernel).toEqual(to.services);
    }),
  );
});

test("the same state needs no transaction", () => {
  const out = proxyElements(
    state({ services: [web], slices: [slice("web", 80, [{ addresses: ["10.244.0.5"] }])] }),
  );
  expect(transaction("t", out, out)).toBe("");
  expect(skeleton("t", capacityFor(out))).toContain("delete table ip t");
  expect(capacityFor({ largest: 33 })).toBe(64);
});
