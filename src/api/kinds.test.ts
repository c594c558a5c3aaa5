/** What is special about single kinds; what all have in common stands in `definition.suite.test.ts`. */
import { describe, expect, test } from "vitest";
import { deployments } from "./apps/deployment.ts";
import { replicaSets } from "./apps/replica-set.ts";
import { jobs } from "./batch/job.ts";
import { configMaps } from "./core/config-map.ts";
import { namespaces } from "./core/namespace.ts";
import { nodes } from "./core/node.ts";
import { summarizePod } from "./core/pod-columns.ts";
import { secrets } from "./core/secret.ts";
import { services } from "./core/service.ts";
import type { ResourceDefinition } from "./meta/definition.ts";
import type { KubernetesObject } from "./meta/resource-type.ts";
import { resourceDefinitions } from "./registry.ts";
import {
  dns1035LabelErrors,
  dnsLabelErrors,
  dnsSubdomainErrors,
  qualifiedNameErrors,
} from "./validation/names.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "./validation/object-meta.ts";

const nowMs = Date.UTC(2026, 0, 1, 12);
const template = {
  metadata: { labels: { app: "a" } },
  spec: { containers: [{ name: "c", image: "nginx" }] },
};

function make<T extends KubernetesObject>(definition: ResourceDefinition<T>, rest: object, name = "x"): T {
  const object = {
    apiVersion: "v1",
    kind: definition.kind,
    metadata: { name, namespace: "d", uid: "u-1" },
    ...structuredClone(rest),
  };
  definition.defaults(object as never);
  return object as never;
}

function messages(errors: readonly { field: string; message: string }[]): string[] {
  return errors.map((e) => `${e.field}: ${e.message}`);
}

describe("services", () => {
  const ports = [{ port: 80 }];

  test("defaults", () => {
    const { spec } = make(services, { spec: { ports, type: "LoadBalancer", sessionAffinity: "ClientIP" } });
    expect(spec).toMatchObject({
      ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
      allocateLoadBalancerNodePorts: true,
      externalTrafficPolicy: "Cluster",
      internalTrafficPolicy: "Cluster",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 10800 } },
    });
    expect(
      make(services, { spec: { type: "ExternalName", externalName: "a.b" } }).spec.ipFamilies,
    ).toBeUndefined();
  });

  test("a node port goes with its type; the address cannot change", () => {
    const old = make(services, {
      spec: {
        type: "NodePort",
        clusterIP: "10.0.0.1",
        clusterIPs: ["10.0.0.1"],
        ports: [{ port: 80, nodePort: 30001 }],
      },
    });
    const next = make(services, { spec: { ...old.spec, type: "ClusterIP" } });
    services.onUpdate(next, old, { nowMs });
    expect(next.spec.ports).toEqual([{ port: 80, protocol: "TCP", targetPort: 80 }]);
    expect(services.validateUpdate(next, old)).toEqual([]);
    const moved = make(services, { spec: { ...old.spec, clusterIP: "10.0.0.9", clusterIPs: ["10.0.0.9"] } });
    expect(messages(services.validateUpdate(moved, old))[0]).toContain("may not change once set");
  });

  test.each([
    [{ ports: [] }, "spec.ports: Required value"],
    [
      { ports: [{ port: 0 }] },
      "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
    ],
    [{ ports: [{ port: 1 }, { port: 2 }] }, "spec.ports[0].name: Required value"],
    [{ ports: [{ port: 1, nodePort: 30000 }] }, "may not be used when `type` is 'ClusterIP'"],
    [{ ports, type: "Other" }, 'spec.type: Unsupported value: "Other"'],
    [{ type: "ExternalName" }, "spec.externalName: Required value"],
    [{ ports, clusterIPs: ["x"] }, "must be a valid IP address"],
    [{ ports, sessionAffinity: "Always" }, "spec.sessionAffinity: Unsupported value"],
    [{ ports, loadBalancerClass: "a/b" }, "may only be used when `type` is 'LoadBalancer'"],
    [{ ports, trafficDistribution: "Far" }, "spec.trafficDistribution: Unsupported value"],
    [
      { ports, type: "LoadBalancer", loadBalancerSourceRanges: ["10.0.0.0/8", "x"] },
      'spec.LoadBalancerSourceRanges[1]: Invalid value: "x": must be a valid CIDR value',
    ],
  ])("refuses %j", (spec, message) => {
    expect(messages(services.validate(make(services, { spec }))).join("\n")).toContain(message);
  });
});

describe("workloads", () => {
  test("a deployment's selector is for ever, and must fit its template", () => {
    const old = make(deployments, { spec: { selector: { matchLabels: { app: "a" } }, template } });
    const other = make(deployments, { spec: { selector: { matchLabels: { app: "b" } }, template } });
    expect(messages(deployments.validateUpdate(other, old))).toEqual([
      'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`',
      'spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable',
    ]);
  });

  test.each([
    [{ replicas: -1 }, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    [
      { strategy: { type: "Recreate", rollingUpdate: {} } },
      "may not be specified when strategy `type` is 'Recreate'",
    ],
    [
      { strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } },
      "may not be 0 when `maxSurge` is 0",
    ],
    [{ strategy: { rollingUpdate: { maxSurge: "many" } } }, "a valid percent string"],
    [{ selector: {} }, "empty selector is invalid for deployment"],
    [
      { template: { ...template, spec: { ...template.spec, restartPolicy: "Never" } } },
      'supported values: "Always"',
    ],
  ])("a deployment refuses %j", (spec, message) => {
    const object = make(deployments, {
      spec: { selector: { matchLabels: { app: "a" } }, template, ...spec },
    });
    expect(messages(deployments.validate(object)).join("\n")).toContain(message);
  });

  test("a replica set counts no more ready than there are", () => {
    const set = make(replicaSets, {
      spec: { selector: { matchLabels: { app: "a" } }, template },
      status: { replicas: 1, readyReplicas: 2 },
    });
    expect(messages(replicaSets.validateStatusUpdate(set, set))).toEqual([
      "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
    ]);
  });

  test("a job selects its pods by its own uid", () => {
    const job = make(
      jobs,
      { spec: { template: { spec: { ...template.spec, restartPolicy: "Never" } } } },
      "pi",
    );
    jobs.onCreate(job, { nowMs });
    expect(job.spec).toMatchObject({
      backoffLimit: 6,
      completions: 1,
      parallelism: 1,
      completionMode: "NonIndexed",
      suspend: false,
    });
    expect(job.spec.selector).toEqual({ matchLabels: { "batch.kubernetes.io/controller-uid": "u-1" } });
    expect(job.spec.template.metadata?.labels).toEqual({
      "batch.kubernetes.io/controller-uid": "u-1",
      "batch.kubernetes.io/job-name": "pi",
      "controller-uid": "u-1",
      "job-name": "pi",
    });
    expect(jobs.validate(job)).toEqual([]);
    const changed = structuredClone(job);
    changed.spec.template.spec!.containers[0]!.image = "other";
    expect(messages(jobs.validateUpdate(changed, job))[0]).toMatch(/^spec\.template: .*field is immutable$/);
  });

  test("a job's pods end", () => {
    const job = make(jobs, { spec: { template } });
    jobs.onCreate(job, { nowMs });
    expect(messages(jobs.validate(job))).toEqual([
      'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ]);
  });
});

describe("configuration", () => {
  test("plain text of a secret becomes data", () => {
    const secret = make(secrets, { stringData: { a: "b" }, data: { c: "ZA==" } });
    expect(secret).toMatchObject({ type: "Opaque", data: { a: "Yg==", c: "ZA==" } });
    expect(secret.stringData).toBeUndefined();
  });

  test("types promise keys, and do not change", () => {
    expect(messages(secrets.validate(make(secrets, { type: "kubernetes.io/tls", data: {} })))).toEqual([
      "data[tls.crt]: Required value",
      "data[tls.key]: Required value",
    ]);
    const errors = secrets.validateUpdate(make(secrets, { type: "a" }), make(secrets, { type: "b" }));
    expect(messages(errors)).toEqual(['type: Invalid value: "a": field is immutable']);
  });

  test("what is immutable stays, and keys are file names", () => {
    const old = make(configMaps, { immutable: true, data: { a: "1" } });
    expect(messages(configMaps.validateUpdate(make(configMaps, { data: { a: "2" } }), old))).toEqual([
      "immutable: Forbidden: field is immutable when `immutable` is set",
      "data: Forbidden: field is immutable when `immutable` is set",
    ]);
    expect(messages(configMaps.validate(make(configMaps, { data: { "a/b": "1", "..": "2" } })))).toHaveLength(
      2,
    );
    expect(configMaps.validate(make(configMaps, { data: { a: "x".repeat(1024 * 1024 + 1) } }))).toMatchObject(
      [{ type: "FieldValueTooLong" }],
    );
  });

  test("a namespace is labelled with its name and finalized by the cluster", () => {
    const namespace = make(namespaces, {}, "team");
    namespaces.onCreate(namespace, { nowMs });
    expect(namespace.metadata.labels).toEqual({ "kubernetes.io/metadata.name": "team" });
    expect(namespace.spec.finalizers).toEqual(["kubernetes"]);
  });
});

describe("names", () => {
  test("upstream's sentences", () => {
    expect(dnsLabelErrors("A")).toEqual([
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    ]);
    expect(dnsLabelErrors("a".repeat(64))).toEqual(["must be no more than 63 bytes"]);
    expect([dnsSubdomainErrors("a.b-c"), dns1035LabelErrors("a1"), qualifiedNameErrors("a.b/C_d")]).toEqual([
      [],
      [],
      [],
    ]);
    expect(dns1035LabelErrors("1a")).toHaveLength(1);
    expect(qualifiedNameErrors("a/b/c")).toHaveLength(1);
    expect(dnsSubdomainErrors(`${"a-".repeat(100_000)}!`)).toHaveLength(2);
  });

  test("metadata", () => {
    const meta = {
      name: "Bad",
      labels: { "-": "ok", a: "b c" },
      finalizers: ["mine"],
      ownerReferences: [{}],
    } as never;
    const kind = { namespaced: true, validateName: configMaps.validateName };
    const fields = validateObjectMeta(meta, kind).map((e) => e.field);
    expect(fields).toEqual([
      "metadata.name",
      "metadata.namespace",
      "metadata.labels",
      "metadata.labels",
      "metadata.ownerReferences[0].apiVersion",
      "metadata.ownerReferences[0].kind",
      "metadata.ownerReferences[0].name",
      "metadata.ownerReferences[0].uid",
      "metadata.finalizers",
    ]);
    const old = { name: "a", uid: "1", resourceVersion: "5", creationTimestamp: "x", deletionTimestamp: "y" };
    expect(messages(validateObjectMetaUpdate({ ...old, uid: "2", finalizers: ["a.io/b"] }, old))).toEqual([
      'metadata.uid: Invalid value: "2": field is immutable',
      'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a.io/b"}',
    ]);
  });
});

describe("statuses", () => {
  const own = ["apiservices", "servicecidrs", "validatingadmissionpolicies", "volumeattachments"];
  test.each([...own, "deployments", "ingresses", "persistentvolumes"])(
    "of %s: what else is taken",
    (resource) => {
      const definition = resourceDefinitions.find((each) => each.resource === resource)!;
      const old = make(definition, {});
      const next = make(definition, {});
      next.metadata.annotations = { patched: "true" };
      definition.onStatusUpdate(next, old, { nowMs });
      expect(next.metadata.annotations).toEqual(own.includes(resource) ? undefined : { patched: "true" });
    },
  );
});

describe("what kubectl shows", () => {
  const containers = [{ name: "a" }, { name: "b" }];
  const running = (name: string, ready = true) => ({ name, ready, restartCount: 0, state: { running: {} } });
  const waiting = (name: string, reason: string) => ({
    name,
    restartCount: 3,
    state: { waiting: { reason } },
    lastState: { terminated: { exitCode: 1, finishedAt: "2026-01-01T11:58:00Z" } },
  });
  const ended = (name: string, terminated: object) => ({ name, restartCount: 0, state: { terminated } });

  test.each([
    ["Pending", { phase: "Pending" }, {}, {}, "0/2", "Pending", "0"],
    [
      "all run",
      { phase: "Running", containerStatuses: [running("a"), running("b")] },
      {},
      {},
      "2/2",
      "Running",
      "0",
    ],
    [
      "one crashes",
      { phase: "Running", containerStatuses: [running("a"), waiting("b", "CrashLoopBackOff")] },
      {},
      {},
      "1/2",
      "CrashLoopBackOff",
      "3 (2m ago)",
    ],
    [
      "done",
      { phase: "Succeeded", containerStatuses: [ended("a", { exitCode: 0, reason: "Completed" })] },
      {},
      {},
      "0/2",
      "Completed",
      "0",
    ],
    [
      "killed",
      { phase: "Failed", containerStatuses: [ended("a", { exitCode: 137, signal: 9 })] },
      {},
      {},
      "0/2",
      "Signal:9",
      "0",
    ],
    [
      "half done",
      {
        phase: "Running",
        conditions: [{ type: "Ready", status: "True" }],
        containerStatuses: [ended("a", { exitCode: 0, reason: "Completed" }), running("b")],
      },
      {},
      {},
      "1/2",
      "Running",
      "0",
    ],
    [
      "waits for init",
      { phase: "Pending", initContainerStatuses: [{ name: "i", state: { running: {} } }] },
      { initContainers: [{ name: "i" }, { name: "j" }] },
      {},
      "0/2",
      "Init:0/2",
      "0",
    ],
    [
      "init fails",
      { phase: "Pending", initContainerStatuses: [waiting("i", "CrashLoopBackOff")] },
      { initContainers: [{ name: "i" }] },
      {},
      "0/2",
      "Init:CrashLoopBackOff",
      "3 (2m ago)",
    ],
    [
      "init ended badly",
      { phase: "Failed", initContainerStatuses: [ended("i", { exitCode: 2 })] },
      { initContainers: [{ name: "i" }] },
      {},
      "0/2",
      "Init:ExitCode:2",
      "0",
    ],
    [
      "sidecar",
      {
        phase: "Running",
        initContainerStatuses: [{ ...running("s"), started: true }],
        containerStatuses: [running("a"), running("b")],
      },
      { initContainers: [{ name: "s", restartPolicy: "Always" }] },
      {},
      "3/3",
      "Running",
      "0",
    ],
    [
      "goes",
      { phase: "Running", containerStatuses: [running("a"), running("b")] },
      {},
      { deletionTimestamp: "2026-01-01T12:00:00Z" },
      "2/2",
      "Terminating",
      "0",
    ],
    [
      "lost",
      { phase: "Running", reason: "NodeLost" },
      {},
      { deletionTimestamp: "2026-01-01T12:00:00Z" },
      "0/2",
      "Unknown",
      "0",
    ],
    ["evicted", { phase: "Failed", reason: "Evicted" }, {}, {}, "0/2", "Evicted", "0"],
    [
      "gated",
      {
        phase: "Pending",
        conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }],
      },
      {},
      {},
      "0/2",
      "SchedulingGated",
      "0",
    ],
  ])("pod: %s", (_, status, spec, metadata, ready, reason, restarts) => {
    const pod = { metadata: { name: "p", ...metadata }, spec: { containers, ...spec }, status } as never;
    expect(summarizePod(pod, nowMs)).toEqual({ ready, reason, restarts });
  });

  function cells<T extends KubernetesObject>(
    definition: ResourceDefinition<T>,
    object: object,
  ): Record<string, unknown> {
    const full = make(definition, object);
    return Object.fromEntries(definition.columns.map((c) => [c.name, c.cell(full, nowMs)]));
  }

  test("nodes, services, deployments, jobs", () => {
    const labels = { "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "" };
    expect(
      cells(nodes, {
        metadata: { name: "n", labels },
        spec: { unschedulable: true },
        status: { conditions: [{ type: "Ready", status: "True" }] },
      }),
    ).toMatchObject({
      Status: "Ready,SchedulingDisabled",
      Roles: "control-plane,worker",
      "Internal-IP": "<none>",
    });
    expect(
      cells(services, {
        spec: {
          type: "LoadBalancer",
          ports: [
            { port: 80, nodePort: 30080 },
            { port: 53, protocol: "UDP" },
          ],
          selector: { b: "2", a: "1" },
        },
      }),
    ).toMatchObject({
      "External-IP": "<pending>",
      "Port(s)": "80:30080/TCP,53/UDP",
      Selector: "a=1,b=2",
      "Cluster-IP": "<none>",
    });
    expect(
      cells(deployments, {
        spec: { replicas: 3, selector: { matchLabels: { app: "a" } }, template },
        status: { readyReplicas: 1 },
      }),
    ).toMatchObject({ Ready: "1/3", Available: "0", Images: "nginx", Containers: "c", Selector: "app=a" });
    expect(
      cells(jobs, {
        spec: { completions: 2, template },
        status: { succeeded: 1, startTime: "2026-01-01T11:59:00Z" },
      }),
    ).toMatchObject({ Status: "Running", Completions: "1/2", Duration: "60s" });
  });
});
