import { describe, expect, test } from "vitest";
import type { corev1 } from "../../generated/types/index.ts";
import { pods } from "../pod.ts";

function pod(spec: unknown, status?: unknown): corev1.Pod {
  const object = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "d", uid: "u" },
    spec,
    status,
  };
  pods.defaults(object as never);
  return object as never;
}

const main = { name: "main", image: "nginx" };

function errorsOf(spec: object): string[] {
  return pods.validate(pod({ containers: [main], ...spec })).map((e) => `${e.field}: ${e.message}`);
}

describe("a pod's spec", () => {
  test("a plain one is fine", () => {
    expect(errorsOf({})).toEqual([]);
  });

  test("no containers, no name, no image", () => {
    expect(errorsOf({ containers: [] })).toEqual(["spec.containers: Required value"]);
    expect(errorsOf({ containers: [{}] })).toEqual([
      "spec.containers[0].name: Required value",
      "spec.containers[0].image: Required value",
    ]);
  });

  test("all errors are told at once, with their paths", () => {
    const errors = errorsOf({
      containers: [
        {
          ...main,
          name: "Main_1",
          env: [
            { value: "x" },
            { name: "A", value: "b", valueFrom: { fieldRef: { fieldPath: "spec.nope" } } },
          ],
          ports: [{ containerPort: 70000 }, { name: "a", containerPort: 1 }, { name: "a", containerPort: 2 }],
          volumeMounts: [{ name: "gone", mountPath: "/x" }],
          resources: { limits: { cpu: "1", bogus: "1" }, requests: { cpu: "2", memory: "-1" } },
          livenessProbe: { httpGet: { port: 0 }, tcpSocket: { port: 1 }, successThreshold: 2 },
        },
        main,
        main,
      ],
      restartPolicy: "Sometimes",
    });
    expect(errors).toEqual([
      "spec.containers[0].name: Invalid value: \"Main_1\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
      "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
      'spec.containers[0].ports[2].name: Duplicate value: "a"',
      "spec.containers[0].env[0].name: Required value",
      'spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.nope": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
      'spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
      'spec.containers[0].volumeMounts[0].name: Not found: "gone"',
      'spec.containers[0].resources.limits[bogus]: Invalid value: "bogus": must be a standard resource type or fully qualified',
      'spec.containers[0].resources.limits[bogus]: Invalid value: "bogus": must be a standard resource for containers',
      'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
      'spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
      'spec.containers[0].resources.requests[bogus]: Invalid value: "bogus": must be a standard resource type or fully qualified',
      'spec.containers[0].resources.requests[bogus]: Invalid value: "bogus": must be a standard resource for containers',
      "spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
      "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
      "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
      'spec.containers[2].name: Duplicate value: "main"',
      'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
    ]);
  });

  test.each([
    [
      { volumes: [{ name: "v", emptyDir: {}, hostPath: { path: "/x" } }] },
      "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
    ],
    [{ volumes: [{ name: "v", hostPath: { path: "/a/../b" } }] }, "must not contain '..'"],
    [{ volumes: [{ name: "v" }, { name: "v" }] }, 'spec.volumes[1].name: Duplicate value: "v"'],
    [{ volumes: [{ name: "v", secret: {} }] }, "spec.volumes[0].secret.secretName: Required value"],
    [
      { volumes: [{ name: "v", configMap: { name: "c", items: [{ key: "k", path: "/etc" }] } }] },
      "must be a relative path",
    ],
    [
      { initContainers: [{ ...main, name: "i", livenessProbe: { exec: { command: ["x"] } } }] },
      "may not be set for init containers without restartPolicy=Always",
    ],
    [
      { tolerations: [{ operator: "Exists", effect: "Nope" }] },
      'spec.tolerations[0].effect: Unsupported value: "Nope"',
    ],
    [
      { tolerations: [{ key: "a", value: "b", operator: "Exists" }] },
      "value must be empty when `operator` is 'Exists'",
    ],
    [{ tolerations: [{ value: "b" }] }, "operator must be Exists when `key` is empty"],
    [
      {
        affinity: {
          nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } },
        },
      },
      "must have at least one node selector term",
    ],
    [
      {
        affinity: {
          podAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 0, podAffinityTerm: {} }],
          },
        },
      },
      "must be in the range 1-100",
    ],
    [
      { topologySpreadConstraints: [{ maxSkew: 0, topologyKey: "", whenUnsatisfiable: "X" }] },
      "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
    ],
    [{ activeDeadlineSeconds: 0 }, "must be between 1 and 2147483647, inclusive"],
    [{ dnsPolicy: "None" }, "must provide `dnsConfig` when `dnsPolicy` is None"],
    [{ hostAliases: [{ ip: "300.1.1.1" }] }, "must be a valid IP address"],
    [
      { nodeName: "n", schedulingGates: [{ name: "g" }] },
      "cannot be set until all schedulingGates have been cleared",
    ],
    [
      { hostNetwork: true, containers: [{ ...main, ports: [{ containerPort: 1, hostPort: 2 }] }] },
      "must match `containerPort` when `hostNetwork` is true",
    ],
    [
      { containers: [{ ...main, securityContext: { privileged: true, allowPrivilegeEscalation: false } }] },
      "cannot set `allowPrivilegeEscalation` to false",
    ],
    [
      { ephemeralContainers: [{ ...main, name: "e", ports: [{ containerPort: 1 }] }] },
      "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
    ],
    [{ securityContext: { runAsUser: -1 } }, "spec.securityContext.runAsUser: Invalid value: -1"],
  ])("refuses %j", (spec, message) => {
    expect(errorsOf(spec).join("\n")).toContain(message);
  });
});

describe("a change of a pod", () => {
  function change(spec: object): string[] {
    const old = pod({
      containers: [main],
      tolerations: [{ key: "a", operator: "Exists", effect: "NoExecute" }],
    });
    return pods.validateUpdate(pod({ ...old.spec, ...spec }), old).map((e) => `${e.field}: ${e.message}`);
  }

  test("images and further tolerations may change, nothing else", () => {
    expect(
      change({ containers: [{ ...pod({ containers: [main] }).spec.containers[0], image: "nginx:2" }] }),
    ).toEqual([]);
    expect(
      change({
        tolerations: [
          { key: "a", operator: "Exists", effect: "NoExecute", tolerationSeconds: 5 },
          { key: "b", operator: "Exists" },
        ],
      }),
    ).toEqual([]);
    expect(change({ activeDeadlineSeconds: 5 })).toEqual([]);
    expect(change({ tolerations: [] })[0]).toContain("existing toleration can not be modified");
    expect(change({ nodeName: "other" })[0]).toMatch(
      /^spec: Forbidden: pod updates may not change fields other than .*changed: nodeName$/s,
    );
    expect(change({ containers: [main, { ...main, name: "two" }] })).toEqual([
      "spec.containers: Forbidden: pod updates may not add or remove containers",
    ]);
  });

  test("what has ended for good stays ended", () => {
    const ended = { containerStatuses: [{ name: "main", state: { terminated: { exitCode: 0 } } }] };
    const running = { containerStatuses: [{ name: "main", state: { running: {} } }] };
    const old = pod({ containers: [main], restartPolicy: "Never" }, ended);
    const next = pod({ containers: [main], restartPolicy: "Never" }, running);
    expect(pods.validateStatusUpdate(next, old)).toHaveLength(1);
    const always = pod({ containers: [main] }, ended);
    expect(pods.validateStatusUpdate(pod({ containers: [main] }, running), always)).toEqual([]);
  });
});

describe("what is filled in", () => {
  test("as the documentation promises", () => {
    const { spec } = pod({
      containers: [
        { ...main, image: "a:latest", ports: [{ containerPort: 80 }], resources: { limits: { cpu: "1" } } },
      ],
      volumes: [{ name: "v" }, { name: "s", secret: { secretName: "x" } }],
      serviceAccountName: "robot",
    });
    expect(spec).toMatchObject({
      dnsPolicy: "ClusterFirst",
      enableServiceLinks: true,
      restartPolicy: "Always",
      schedulerName: "default-scheduler",
      serviceAccount: "robot",
      terminationGracePeriodSeconds: 30,
      volumes: [{ emptyDir: {} }, { secret: { defaultMode: 420 } }],
      containers: [
        {
          imagePullPolicy: "Always",
          ports: [{ containerPort: 80, protocol: "TCP" }],
          resources: { limits: { cpu: "1" }, requests: { cpu: "1" } },
          terminationMessagePath: "/dev/termination-log",
        },
      ],
    });
  });

  test.each([
    [{}, "BestEffort"],
    [{ requests: { cpu: "1" } }, "Burstable"],
    [{ limits: { cpu: "1", memory: "1Gi" } }, "Guaranteed"],
    [{ limits: { cpu: "1" } }, "Burstable"],
    [{ limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "500m" } }, "Burstable"],
  ])("the QoS class of %j is %s", (resources, expected) => {
    const object = pod({ containers: [{ ...main, resources }] });
    pods.onCreate(object, { nowMs: 0 });
    expect(object.status).toEqual({ phase: "Pending", qosClass: expected });
  });
});
