import { describe, expect, test } from "vitest";
import { deployments } from "../../apps/deployment.ts";
import { cronJobs } from "../../batch/cron-job.ts";
import { make } from "../../testing/examples.ts";
import { endpoints } from "../endpoints.ts";
import { persistentVolumes } from "../persistent-volume.ts";
import { persistentVolumeClaims } from "../persistent-volume-claim.ts";
import { pods } from "../pod.ts";
import { services } from "../service.ts";

const container = { name: "c", image: "nginx" };
const of = (body: object) => pods.warnings!(make(pods, body), undefined);

describe("pods", () => {
  test.each([
    [{ containers: [container] }, []],
    [
      {
        containers: [
          {
            ...container,
            env: [
              { name: "A", value: "1" },
              { name: "A", value: "2" },
            ],
          },
        ],
      },
      ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'],
    ],
    [
      {
        containers: [
          {
            ...container,
            env: [
              { name: "A", value: "1" },
              { name: "A", value: "$(A)2" },
            ],
          },
        ],
      },
      [],
    ],
    [
      {
        containers: [{ ...container, resources: { limits: { memory: "500m" }, requests: { memory: "1" } } }],
      },
      [
        'spec.containers[0].resources.limits[memory]: fractional byte value "500m" is invalid, must be an integer',
      ],
    ],
    [
      {
        containers: [
          { ...container, ports: [{ containerPort: 80, name: "a" }] },
          { name: "d", image: "i", ports: [{ containerPort: 80 }, { containerPort: 81, name: "a" }] },
        ],
      },
      [
        "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
        'spec.containers[1].ports[1]: duplicate port name "a" with spec.containers[0].ports[0], services and probes that select ports by name will use spec.containers[0].ports[0]',
      ],
    ],
    [
      { containers: [container], nodeSelector: { "beta.kubernetes.io/os": "linux" } },
      ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
    ],
    [
      { containers: [container], imagePullSecrets: [{ name: "a" }, { name: "a" }, {}] },
      [
        'spec.imagePullSecrets[1].name: duplicate name "a"',
        'spec.imagePullSecrets[2].name: invalid empty name ""',
      ],
    ],
    [
      { containers: [container], terminationGracePeriodSeconds: -1 },
      [
        "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
      ],
    ],
    [
      {
        containers: [container],
        topologySpreadConstraints: [{ topologyKey: "zone", maxSkew: 1, whenUnsatisfiable: "DoNotSchedule" }],
        affinity: {
          podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "zone" }] },
        },
      },
      [
        "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod",
      ],
    ],
    [
      { containers: [container], dnsConfig: { nameservers: ["010.0.0.1"] } },
      [
        'spec.dnsConfig.nameservers[0]: non-standard IP address "010.0.0.1" will be considered invalid in a future Kubernetes release: use "10.0.0.1"',
      ],
    ],
  ])("%j", (spec, warnings) => expect(of({ spec })).toEqual(warnings));

  test("names with dots, annotations of old; nothing at a change", () => {
    const body = {
      metadata: { name: "a.b", annotations: { "seccomp.security.alpha.kubernetes.io/pod": "x" } },
      spec: { containers: [container] },
    };
    const [name, annotation] = of(body);
    expect(name).toContain(
      "metadata.name: this is used in the Pod's hostname, which can result in surprising",
    );
    expect(annotation).toBe(
      'metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead',
    );
    expect(pods.warnings!(make(pods, body), make(pods, body))).toEqual([]);
  });
});

describe("other kinds", () => {
  const template = (extra: object) => ({ spec: { containers: [container], ...extra } });

  test("templates are told of where they stand, once for each change of the spec", () => {
    const body = (generation: number) => ({
      metadata: { generation },
      spec: { template: template({ terminationGracePeriodSeconds: -1 }) },
    });
    const [before, after] = [make(deployments, body(1)), make(deployments, body(2))];
    expect(deployments.warnings!(after, before)[0]).toMatch(/^spec\.template\.spec\.terminationGrace/);
    expect(deployments.warnings!(before, before)).toEqual([]);
    const jobTemplate = {
      spec: { template: template({ hostAliases: [{ ip: "1.1.1.1" }, { ip: "1.1.1.1" }] }) },
    };
    expect(cronJobs.warnings!(make(cronJobs, { spec: { jobTemplate } }), undefined)).toEqual([
      'spec.jobTemplate.spec.template.spec.hostAliases[1].ip: duplicate ip "1.1.1.1"',
    ]);
  });

  test.each([
    [
      { clusterIP: "None", sessionAffinity: "ClientIP" },
      ["spec.SessionAffinity is ignored for headless services"],
    ],
    [
      { externalIPs: ["1.1.1.1"], externalName: "a" },
      [
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
        'spec.externalName is ignored when spec.type is not "ExternalName"',
      ],
    ],
    [
      { trafficDistribution: "PreferClose" },
      ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
    ],
  ])("a service %j", (spec, warnings) =>
    expect(services.warnings!(make(services, { spec }), undefined)).toEqual(warnings),
  );

  test("volumes and claims", () => {
    const annotations = { "volume.beta.kubernetes.io/storage-class": "a" };
    const byAnnotation =
      'metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead';
    const claim = { metadata: { annotations }, spec: { resources: { requests: { storage: "0.5" } } } };
    expect(persistentVolumeClaims.warnings!(make(persistentVolumeClaims, claim), undefined)).toEqual([
      byAnnotation,
      'spec.resources.requests[storage]: fractional byte value "500m" is invalid, must be an integer',
    ]);
    const matchExpressions = [{ key: "beta.kubernetes.io/os", operator: "Exists" }];
    const volume = {
      metadata: { annotations },
      spec: {
        persistentVolumeReclaimPolicy: "Recycle",
        rbd: { monitors: ["m"], image: "i" },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } },
      },
    };
    expect(persistentVolumes.warnings!(make(persistentVolumes, volume), undefined)).toEqual([
      byAnnotation,
      "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
      "spec.rbd: deprecated in v1.28, non-functional in v1.31+",
      'spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead',
    ]);
  });

  test("Endpoints have a successor", () => {
    expect(endpoints.deprecation).toBe(
      "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    );
  });
});
