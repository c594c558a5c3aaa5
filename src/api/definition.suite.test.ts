/** The contract of a resource definition: runs on every member of the registry by itself. */
import { describe, expect, test } from "vitest";
import { servedResources } from "./generated/resources.ts";
import { decode } from "./meta/decode.ts";
import { decodeProtobuf, encodeProtobuf } from "./meta/protobuf.ts";
import { apiVersionOf, type KubernetesObject } from "./meta/resource-type.ts";
import { hasType, schemaOf, typeOfKind } from "./meta/schema.ts";
import { renderTable } from "./meta/table.ts";
import { definitionOf, definitionOfKind, resourceDefinitions } from "./registry.ts";
import { authority, signingRequest, stubRequest } from "./testing/certificates.ts";
import { validateObjectMeta } from "./validation/object-meta.ts";

const template = {
  metadata: { labels: { app: "a" } },
  spec: { containers: [{ name: "c", image: "nginx:1" }] },
};
const workload = { selector: { matchLabels: { app: "a" } }, template };

const everyPod = {
  resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
};

/** The least that a client must say of each kind. A new resource adds its own here. */
const minimal: Record<string, object> = {
  ConfigMap: { data: { key: "value" } },
  Endpoints: { subsets: [{ addresses: [{ ip: "10.0.0.1" }], ports: [{ port: 80 }] }] },
  Event: {
    involvedObject: { kind: "Pod", namespace: "default", name: "p" },
    reason: "Started",
    type: "Normal",
    message: "m",
  },
  Namespace: {},
  Node: {},
  Pod: { spec: template.spec },
  Secret: { data: { key: "dmFsdWU=" } },
  ServiceAccount: {},
  Service: { spec: { ports: [{ port: 80 }], selector: { app: "a" } } },
  ControllerRevision: { data: { spec: {} }, revision: 1 },
  DaemonSet: { spec: workload },
  MutatingWebhookConfiguration: {},
  ValidatingWebhookConfiguration: {},
  ValidatingAdmissionPolicy: {
    spec: { matchConstraints: everyPod, validations: [{ expression: "true" }] },
  },
  ValidatingAdmissionPolicyBinding: { spec: { policyName: "p", validationActions: ["Deny"] } },
  MutatingAdmissionPolicy: {
    spec: {
      matchConstraints: everyPod,
      mutations: [{ patchType: "JSONPatch", jsonPatch: { expression: "[]" } }],
      reinvocationPolicy: "Never",
    },
  },
  MutatingAdmissionPolicyBinding: { spec: { policyName: "p" } },
  APIService: {
    spec: { group: "example.com", version: "v1", groupPriorityMinimum: 1000, versionPriority: 10 },
  },
  CustomResourceDefinition: {
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "things", kind: "Thing" },
      versions: [
        { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } },
      ],
    },
  },
  Deployment: { spec: workload },
  ReplicaSet: { spec: workload },
  StatefulSet: { spec: { ...workload, serviceName: "a" } },
  Job: { spec: { template: { spec: { ...template.spec, restartPolicy: "Never" } } } },
  CronJob: {
    spec: {
      schedule: "*/5 * * * *",
      jobTemplate: { spec: { template: { spec: { ...template.spec, restartPolicy: "Never" } } } },
    },
  },
  PodDisruptionBudget: { spec: { minAvailable: 1, selector: { matchLabels: { app: "a" } } } },
  PriorityClass: { value: 1000 },
  SelfSubjectReview: {},
  TokenReview: { spec: { token: "t" } },
  LocalSubjectAccessReview: {
    spec: { user: "u", resourceAttributes: { namespace: "default", verb: "get", resource: "pods" } },
  },
  SelfSubjectAccessReview: { spec: { resourceAttributes: { verb: "get", resource: "pods" } } },
  SelfSubjectRulesReview: { spec: { namespace: "default" } },
  SubjectAccessReview: { spec: { groups: ["g"], nonResourceAttributes: { verb: "get", path: "/healthz" } } },
  Lease: { spec: { holderIdentity: "me", leaseDurationSeconds: 15 } },
  "events.k8s.io/v1 Event": {
    regarding: { kind: "Pod", namespace: "default", name: "p" },
    eventTime: "2026-01-02T03:00:00.000000Z",
    reportingController: "example.com/tests",
    reportingInstance: "tests-1",
    action: "Testing",
    reason: "Started",
    type: "Normal",
    note: "m",
  },
  HorizontalPodAutoscaler: {
    spec: { scaleTargetRef: { kind: "Deployment", name: "d", apiVersion: "apps/v1" }, maxReplicas: 3 },
  },
  CertificateSigningRequest: {
    spec: { request: signingRequest, signerName: "example.com/signer", usages: ["client auth"] },
  },
  ClusterTrustBundle: { spec: { trustBundle: authority } },
  PodCertificateRequest: {
    spec: {
      signerName: "example.com/signer",
      podName: "p",
      podUID: "1",
      serviceAccountName: "a",
      serviceAccountUID: "2",
      nodeName: "n",
      nodeUID: "3",
      stubPKCS10Request: stubRequest,
    },
  },
  FlowSchema: {
    spec: {
      priorityLevelConfiguration: { name: "global-default" },
      rules: [
        {
          subjects: [{ kind: "User", user: { name: "u" } }],
          nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz"] }],
        },
      ],
    },
  },
  PriorityLevelConfiguration: {
    spec: { type: "Limited", limited: { limitResponse: { type: "Queue", queuing: {} } } },
  },
  Binding: { target: { kind: "Node", name: "n" } },
  ComponentStatus: { conditions: [{ type: "Healthy", status: "True" }] },
  LimitRange: { spec: { limits: [{ type: "Container", max: { cpu: "1" } }] } },
  PersistentVolume: {
    spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/data" } },
  },
  PersistentVolumeClaim: {
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  },
  PodTemplate: { template },
  ReplicationController: { spec: { selector: { app: "a" }, template } },
  ResourceQuota: { spec: { hard: { pods: "10" } } },
  RuntimeClass: { handler: "runc" },
  Role: { rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }] },
  ClusterRole: { rules: [{ nonResourceURLs: ["/healthz"], verbs: ["get"] }] },
  RoleBinding: {
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "r" },
    subjects: [{ kind: "ServiceAccount", name: "a" }],
  },
  ClusterRoleBinding: {
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "r" },
    subjects: [{ kind: "User", name: "u" }],
  },
  Ingress: { spec: { defaultBackend: { service: { name: "a", port: { number: 80 } } } } },
  IngressClass: { spec: { controller: "example.com/ingress" } },
  NetworkPolicy: { spec: { podSelector: {} } },
  IPAddress: { spec: { parentRef: { resource: "services", name: "a", namespace: "d" } } },
  ServiceCIDR: { spec: { cidrs: ["10.0.0.0/24"] } },
  StorageClass: { provisioner: "example.com/disk" },
  VolumeAttachment: {
    spec: { attacher: "example.com", nodeName: "n", source: { persistentVolumeName: "v" } },
  },
  CSIDriver: {},
  CSINode: { spec: { drivers: [{ name: "example.com", nodeID: "n" }] } },
  CSIStorageCapacity: { storageClassName: "a", capacity: "1Gi" },
  VolumeAttributesClass: { driverName: "example.com", parameters: { iops: "100" } },
  LeaseCandidate: {
    spec: {
      leaseName: "a",
      binaryVersion: "1.36.0",
      emulationVersion: "1.36.0",
      strategy: "OldestEmulationVersion",
    },
  },
  PodGroup: { spec: { schedulingPolicy: { gang: { minCount: 2 } } } },
  Workload: { spec: { podGroupTemplates: [{ name: "a", schedulingPolicy: { basic: {} } }] } },
  StorageVersionMigration: { spec: { resource: { group: "apps", resource: "deployments" } } },
  StorageVersion: { spec: {} },
  DeviceClass: {},
  ResourceClaim: {},
  ResourceClaimTemplate: { spec: { spec: {} } },
  ResourceSlice: {
    spec: {
      driver: "a.example.com",
      nodeName: "n",
      pool: { name: "n", generation: 1, resourceSliceCount: 1 },
    },
  },
  DeviceTaintRule: { spec: { taint: { key: "example.com/broken", effect: "NoSchedule" } } },
  ResourcePoolStatusRequest: { spec: { driver: "a.example.com" } },
  EndpointSlice: { addressType: "IPv4", endpoints: [{ addresses: ["10.0.0.1"] }], ports: [{ port: 80 }] },
};

/** Kinds whose names say something. */
const exampleNames: Record<string, string> = {
  APIService: "v1.example.com",
  CustomResourceDefinition: "things.example.com",
  IPAddress: "10.0.0.1",
  StorageVersion: "apps.deployments",
};

const nowMs = Date.UTC(2026, 0, 2, 3, 4, 5);

describe.each(resourceDefinitions.map((d) => [d.resource, d] as const))("%s", (_, definition) => {
  function example(): KubernetesObject {
    const least = minimal[`${apiVersionOf(definition)} ${definition.kind}`] ?? minimal[definition.kind];
    expect(least, `a minimal ${definition.kind} in this suite`).toBeDefined();
    const object = {
      apiVersion: apiVersionOf(definition),
      kind: definition.kind,
      metadata: {
        name: exampleNames[definition.kind] ?? "example",
        ...(definition.namespaced ? { namespace: "default" } : {}),
        uid: "b5b5d0a0-0000-4000-8000-000000000000",
        resourceVersion: "1",
        creationTimestamp: "2026-01-02T03:00:00Z",
      },
      ...structuredClone(least),
    };
    expect(decode(definition.typeName, object).unknown).toEqual([]);
    return object;
  }

  function created(): KubernetesObject {
    const object = example();
    definition.defaults(object);
    definition.onCreate(object, { nowMs });
    return object;
  }

  test("its names are those of Kubernetes", () => {
    const served = servedResources.find(
      (r) =>
        r.group === definition.group &&
        r.version === definition.version &&
        r.resource === definition.resource,
    );
    expect(served).toMatchObject({ kind: definition.kind, namespaced: definition.namespaced });
    for (const verb of definition.verbs) expect(served!.verbs).toContain(verb);
    for (const [name, s] of Object.entries(definition.subresources)) {
      expect(served!.subresources[name]).toMatchObject({ kind: s.kind });
      if (s.group) expect(served!.subresources[name]!.group).toBe(s.group);
    }
    expect(definitionOf(definition.group, definition.version, definition.resource)).toBe(definition);
    expect(definitionOfKind(definition)).toBe(definition);
  });

  test("its type and its list's are in the schema", () => {
    expect(schemaOf(definition.typeName).gvk).toEqual({
      group: definition.group,
      version: definition.version,
      kind: definition.kind,
    });
    expect(hasType(`${definition.typeName}List`)).toBe(definition.verbs.includes("list"));
    for (const s of Object.values(definition.subresources)) {
      const gvk = {
        group: s.group ?? definition.group,
        version: s.version ?? definition.version,
        kind: s.kind,
      };
      expect(typeOfKind(gvk)).toBeDefined();
    }
  });

  test("defaults are idempotent, and so is decoding what they made", () => {
    const once = created();
    const twice = structuredClone(once);
    definition.defaults(twice);
    expect(twice).toEqual(once);
    const decoded = structuredClone(once);
    expect(decode(definition.typeName, decoded).unknown).toEqual([]);
    expect(decoded).toEqual(once);
  });

  test("a minimal object is valid, and so is leaving it as it is", () => {
    const object = created();
    expect(definition.validate(object)).toEqual([]);
    expect(validateObjectMeta(object.metadata, definition)).toEqual([]);
    const next = structuredClone(object);
    definition.onUpdate(next, object, { nowMs });
    expect(next).toEqual(object);
    expect(definition.validateUpdate(next, object)).toEqual([]);
  });

  test("a write through the main endpoint cannot change the status, one of the status nothing else", () => {
    if (!("status" in definition.subresources)) return;
    const old = created() as KubernetesObject & { status?: unknown; spec?: unknown };
    const next = { ...structuredClone(old), status: { conditions: [{ type: "X", status: "True" }] } };
    definition.onUpdate(next, old, { nowMs });
    expect(next.status).toEqual(old.status);
    const report = { ...structuredClone(old), spec: { changed: true }, status: { conditions: [] } };
    definition.onStatusUpdate(report, old, { nowMs });
    expect(report.spec).toEqual(old.spec);
    // A version may have no field for conditions.
    if (!definition.storedAs) expect(report.status).toMatchObject({ conditions: [] });
    expect(new Set(Object.keys(report))).toEqual(new Set([...Object.keys(old), "status"]));
  });

  test("validation bears what is missing or strange", () => {
    for (const broken of [{}, { spec: {} }, { spec: { template: {} } }, { status: {} }]) {
      const object = {
        apiVersion: "v1",
        kind: definition.kind,
        metadata: { name: "x", uid: "u" },
        ...structuredClone(broken),
      };
      definition.defaults(object as never);
      definition.onCreate(object as never, { nowMs });
      expect(Array.isArray(definition.validate(object as never))).toBe(true);
    }
  });

  test("table cells match the columns, and an empty object has a row too", () => {
    const empty = { apiVersion: "v1", kind: definition.kind, metadata: { name: "x" } } as KubernetesObject;
    definition.defaults(empty);
    const table = renderTable(definition, [created(), empty], {}, { nowMs, include: "None" });
    const rows = table.rows as { cells: unknown[] }[];
    expect(table.columnDefinitions).toHaveLength(definition.columns.length);
    for (const row of rows) {
      expect(row.cells).toHaveLength(definition.columns.length);
      for (const cell of row.cells) expect(["string", "number", "boolean"]).toContain(typeof cell);
    }
    expect(definition.columns.filter((c) => c.format === "name")).toHaveLength(1);
  });

  test("selectable fields are texts", () => {
    for (const get of Object.values(definition.selectableFields))
      expect(typeof get(created())).toBe("string");
  });

  test("protobuf carries all of it", () => {
    const object = created();
    const back = decodeProtobuf(encodeProtobuf(object)!);
    decode(definition.typeName, back);
    expect(back).toEqual(JSON.parse(JSON.stringify(object)));
  });
});
