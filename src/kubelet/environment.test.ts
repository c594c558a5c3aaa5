import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { corev1 } from "#api";
import {
  ContainerConfigError,
  type EnvironmentInput,
  environmentOf,
  expand,
  serviceVariables,
  visibleServices,
} from "./environment.ts";
import { FieldPathError } from "./field-paths.ts";
import { makeContainer, makePod } from "./testing/pods.ts";

describe("expansion", () => {
  const values = new Map([
    ["A", "1"],
    ["B", "2"],
  ]);
  test.each([
    ["$(A)", "1"],
    ["$(A)$(B)x", "12x"],
    ["$(NONE)", "$(NONE)"],
    ["$$(A)", "$(A)"],
    ["$$$(A)", "$1"],
    ["$A", "$A"],
    ["$(A", "$(A"],
    ["100$", "100$"],
    ["$()", "$()"],
  ])("of %s", (text, result) => {
    expect(expand(text, values)).toBe(result);
  });

  test("leaves text without a dollar as it is, and never loops", () => {
    fc.assert(
      fc.property(
        fc.string(),
        (text) => expand(text.replaceAll("$", ""), values) === text.replaceAll("$", ""),
      ),
    );
    fc.assert(
      fc.property(
        fc.stringMatching(/^[$()AB]{0,20}$/),
        (text) => expand(text, values).length <= 3 * text.length,
      ),
    );
  });
});

function input(container: corev1.Container, more: Partial<EnvironmentInput> = {}): EnvironmentInput {
  return {
    pod: makePod({ containers: [container], nodeName: "n1" }),
    container,
    services: [],
    configMaps: new Map(),
    secrets: new Map(),
    podIps: ["10.0.0.1", "fd00::1"],
    hostIps: ["192.168.0.1"],
    allocatable: { memory: "1Gi", cpu: "2" },
    ...more,
  };
}

const meta = { name: "cm", namespace: "default", uid: "u", resourceVersion: "1", creationTimestamp: "" };
const configMap: corev1.ConfigMap = {
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: meta,
  data: { colour: "blue" },
};
const secret: corev1.Secret = { apiVersion: "v1", kind: "Secret", metadata: meta, data: { pw: "aGlkZGVu" } };

test("values come from everywhere, and later ones see and replace earlier ones", () => {
  const container = makeContainer("main", {
    envFrom: [{ prefix: "CM_", configMapRef: { name: "cm" } }, { secretRef: { name: "cm" } }],
    env: [
      { name: "A", value: "$(CM_colour)" },
      { name: "A", value: "$(A)!" },
      { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
      { name: "IPS", valueFrom: { fieldRef: { fieldPath: "status.podIPs" } } },
      { name: "PW", valueFrom: { secretKeyRef: { name: "cm", key: "pw" } } },
      { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
      { name: "MEM", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
      { name: "GONE", valueFrom: { configMapKeyRef: { name: "none", key: "x", optional: true } } },
    ],
    resources: { limits: { cpu: "1500m" } },
  });
  const values = environmentOf(
    input(container, { configMaps: new Map([["cm", configMap]]), secrets: new Map([["cm", secret]]) }),
  );
  expect(Object.fromEntries(values)).toEqual({
    CM_colour: "blue",
    pw: "hidden",
    A: "blue!",
    NODE: "n1",
    IPS: "10.0.0.1,fd00::1",
    PW: "hidden",
    CPU: "2",
    MEM: "1024",
  });
});

test.each([
  [{ envFrom: [{ configMapRef: { name: "none" } }] }, 'configmap "none" not found'],
  [
    { env: [{ name: "A", valueFrom: { secretKeyRef: { name: "none", key: "k" } } }] },
    'secret "none" not found',
  ],
  [
    { env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "cm", key: "k" } } }] },
    "couldn't find key k in ConfigMap default/cm",
  ],
])("what is missing is named", (more, message) => {
  const run = () =>
    environmentOf(input(makeContainer("main", more), { configMaps: new Map([["cm", configMap]]) }));
  expect(run).toThrow(ContainerConfigError);
  expect(run).toThrow(message);
});

test("a field that does not exist is refused", () => {
  const container = makeContainer("main", {
    env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.secret" } } }],
  });
  expect(() => environmentOf(input(container))).toThrow(FieldPathError);
});

const service = (name: string, namespace: string, clusterIP = "10.96.0.5"): corev1.Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { ...meta, name, namespace },
  spec: { clusterIP, ports: [{ name: "http", port: 80, protocol: "TCP" }] },
  status: {},
});

test("services are seen as variables", () => {
  expect(
    Object.fromEntries(
      serviceVariables([service("my-svc", "default"), service("headless", "default", "None")]),
    ),
  ).toEqual({
    MY_SVC_SERVICE_HOST: "10.96.0.5",
    MY_SVC_SERVICE_PORT: "80",
    MY_SVC_SERVICE_PORT_HTTP: "80",
    MY_SVC_PORT: "tcp://10.96.0.5:80",
    MY_SVC_PORT_80_TCP: "tcp://10.96.0.5:80",
    MY_SVC_PORT_80_TCP_PROTO: "tcp",
    MY_SVC_PORT_80_TCP_PORT: "80",
    MY_SVC_PORT_80_TCP_ADDR: "10.96.0.5",
  });
});

test("a pod sees its namespace's services and the API server's; without links only that", () => {
  const all = [service("a", "mine"), service("b", "other"), service("kubernetes", "default")];
  const names = (links: boolean) => visibleServices(all, "mine", links).map((s) => s.metadata.name);
  expect(names(true)).toEqual(["a", "kubernetes"]);
  expect(names(false)).toEqual(["kubernetes"]);
});
