/** One small object of every kind that users write, in one namespace or in none. Nothing in them starts anything. */

interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string };
  [field: string]: unknown;
}

const selector = { matchLabels: { app: "x" } };
const template = {
  metadata: { labels: { app: "x" } },
  spec: { containers: [{ name: "main", image: "busybox:1.36" }] },
};
const jobTemplate = { ...template, spec: { ...template.spec, restartPolicy: "Never" } };
const matchConstraints = {
  resourceRules: [
    { apiGroups: ["example.com"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["things"] },
  ],
};
const webhooks = [
  {
    name: "hook.example.com",
    clientConfig: { url: "https://example.com/hook" },
    rules: matchConstraints.resourceRules,
    sideEffects: "None",
    admissionReviewVersions: ["v1"],
  },
];
const claim = { devices: { requests: [{ name: "one", exactly: { deviceClassName: "nobody-s" } }] } };
const volume = { accessModes: ["ReadWriteOnce"], storageClassName: "nobody-s" };

/** By API version; the kind, then all but the names. */
const namespaced = (namespace: string): [string, string, object][] => [
  ["v1", "ConfigMap", { data: { a: "b" } }],
  ["v1", "Secret", { stringData: { a: "b" } }],
  ["v1", "Service", { spec: { ports: [{ port: 80 }], selector: { app: "x" } } }],
  ["v1", "ServiceAccount", {}],
  ["v1", "LimitRange", { spec: { limits: [{ type: "Container", max: { cpu: "2" } }] } }],
  ["v1", "ResourceQuota", { spec: { hard: { "count/things.example.com": "1" } } }],
  ["v1", "PersistentVolumeClaim", { spec: { ...volume, resources: { requests: { storage: "1Gi" } } } }],
  ["v1", "PodTemplate", { template }],
  [
    "v1",
    "ReplicationController",
    {
      spec: {
        replicas: 0,
        selector: { app: "y" },
        template: { ...template, metadata: { labels: { app: "y" } } },
      },
    },
  ],
  ["v1", "Pod", { spec: { ...template.spec, schedulingGates: [{ name: "example.com/never" }] } }],
  ["apps/v1", "Deployment", { spec: { replicas: 0, selector, template } }],
  ["apps/v1", "ReplicaSet", { spec: { replicas: 0, selector, template } }],
  ["apps/v1", "StatefulSet", { spec: { replicas: 0, selector, serviceName: "x", template } }],
  [
    "apps/v1",
    "DaemonSet",
    {
      spec: { selector, template: { ...template, spec: { ...template.spec, nodeSelector: { never: "x" } } } },
    },
  ],
  ["apps/v1", "ControllerRevision", { revision: 1, data: { a: 1 } }],
  ["batch/v1", "Job", { spec: { suspend: true, template: jobTemplate } }],
  [
    "batch/v1",
    "CronJob",
    { spec: { suspend: true, schedule: "0 0 1 1 *", jobTemplate: { spec: { template: jobTemplate } } } },
  ],
  [
    "autoscaling/v2",
    "HorizontalPodAutoscaler",
    { spec: { maxReplicas: 2, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "none" } } },
  ],
  ["policy/v1", "PodDisruptionBudget", { spec: { minAvailable: 1, selector } }],
  [
    "networking.k8s.io/v1",
    "Ingress",
    { spec: { defaultBackend: { service: { name: "x", port: { number: 80 } } } } },
  ],
  ["networking.k8s.io/v1", "NetworkPolicy", { spec: { podSelector: selector, policyTypes: ["Ingress"] } }],
  [
    "discovery.k8s.io/v1",
    "EndpointSlice",
    { addressType: "IPv4", endpoints: [{ addresses: ["192.0.2.1"] }], ports: [{ port: 80 }] },
  ],
  ["coordination.k8s.io/v1", "Lease", { spec: { holderIdentity: "x", leaseDurationSeconds: 10 } }],
  [
    "rbac.authorization.k8s.io/v1",
    "Role",
    { rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }] },
  ],
  [
    "rbac.authorization.k8s.io/v1",
    "RoleBinding",
    {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "x" },
      subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: "x" }],
    },
  ],
  [
    "storage.k8s.io/v1",
    "CSIStorageCapacity",
    { storageClassName: "nobody-s", nodeTopology: {}, capacity: "1Gi" },
  ],
  ["resource.k8s.io/v1", "ResourceClaim", { spec: claim }],
  ["resource.k8s.io/v1", "ResourceClaimTemplate", { spec: { spec: claim } }],
  [
    "v1",
    "Event",
    {
      involvedObject: { kind: "Pod", name: "x", namespace },
      reason: "Test",
      message: "of a test",
      type: "Normal",
    },
  ],
  [
    "events.k8s.io/v1",
    "Event",
    {
      regarding: { kind: "Pod", name: "x", namespace },
      reason: "Test",
      note: "of a test",
      type: "Normal",
      action: "Do",
      reportingController: "x",
      reportingInstance: "x",
      eventTime: "2026-01-01T00:00:00.000000Z",
    },
  ],
];

const clusterWide: [string, string, object][] = [
  ["v1", "Node", { spec: { unschedulable: true } }],
  [
    "v1",
    "PersistentVolume",
    { spec: { ...volume, capacity: { storage: "1Gi" }, csi: { driver: "example.com", volumeHandle: "x" } } },
  ],
  ["admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", { webhooks }],
  ["admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", { webhooks }],
  [
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicy",
    { spec: { matchConstraints, validations: [{ expression: "true" }] } },
  ],
  [
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding",
    { spec: { policyName: "nobody-s", validationActions: ["Audit"] } },
  ],
  ["admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding", { spec: { policyName: "nobody-s" } }],
  [
    "flowcontrol.apiserver.k8s.io/v1",
    "FlowSchema",
    { spec: { priorityLevelConfiguration: { name: "global-default" }, matchingPrecedence: 9000 } },
  ],
  [
    "flowcontrol.apiserver.k8s.io/v1",
    "PriorityLevelConfiguration",
    {
      spec: { type: "Limited", limited: { nominalConcurrencyShares: 1, limitResponse: { type: "Reject" } } },
    },
  ],
  ["networking.k8s.io/v1", "IngressClass", { spec: { controller: "example.com/x" } }],
  ["node.k8s.io/v1", "RuntimeClass", { handler: "x" }],
  [
    "rbac.authorization.k8s.io/v1",
    "ClusterRole",
    { rules: [{ nonResourceURLs: ["/healthz"], verbs: ["get"] }] },
  ],
  [
    "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding",
    { roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "x" } },
  ],
  ["resource.k8s.io/v1", "DeviceClass", { spec: {} }],
  [
    "resource.k8s.io/v1",
    "ResourceSlice",
    {
      spec: {
        driver: "example.com",
        pool: { name: "x", generation: 1, resourceSliceCount: 1 },
        allNodes: true,
      },
    },
  ],
  ["scheduling.k8s.io/v1", "PriorityClass", { value: 10 }],
  ["storage.k8s.io/v1", "CSIDriver", { spec: {} }],
  ["storage.k8s.io/v1", "CSINode", { spec: { drivers: [] } }],
  ["storage.k8s.io/v1", "StorageClass", { provisioner: "example.com" }],
  [
    "storage.k8s.io/v1",
    "VolumeAttachment",
    { spec: { attacher: "example.com", nodeName: "x", source: { persistentVolumeName: "x" } } },
  ],
  ["storage.k8s.io/v1", "VolumeAttributesClass", { driverName: "example.com", parameters: { a: "b" } }],
];

/** All named alike; where two kinds are one, as events are, the second has a name of its own. */
export function everyKind(namespace: string, name: string): Manifest[] {
  const object = ([apiVersion, kind, rest]: [string, string, object], metadata: Manifest["metadata"]) => ({
    apiVersion,
    kind,
    metadata,
    ...rest,
  });
  return [
    ...namespaced(namespace).map((each) =>
      object(each, { name: each[0].startsWith("events") ? `${name}-new` : name, namespace }),
    ),
    ...clusterWide.map((each) => object(each, { name })),
  ];
}
