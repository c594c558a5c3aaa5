/** What a pod learns about itself from files: its name, its labels, its resources. */
import { expect } from "vitest";
import { configMaps, type corev1, type Draft, nodes, pods, secrets } from "#api";
import { createPod, outputOf, shell, untilLogged } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";

type File = Draft<corev1.DownwardAPIVolumeFile>;
type Way = (items: File[], defaultMode?: number) => Draft<corev1.Volume>;

const plain: Way = (items, defaultMode) => ({
  name: "info",
  downwardAPI: { items, ...(defaultMode ? { defaultMode } : {}) },
});
const projected: Way = (items, defaultMode) => ({
  name: "info",
  projected: { sources: [{ downwardAPI: { items } }], ...(defaultMode ? { defaultMode } : {}) },
});

const volumeMounts = [{ name: "info", mountPath: "/etc/podinfo", readOnly: true }];
const resources = { requests: { cpu: "250m", memory: "32Mi" }, limits: { cpu: "1250m", memory: "64Mi" } };
const field = (path: string, fieldPath: string): File => ({ path, fieldRef: { fieldPath } });

function resource(name: string, divisor?: string): File {
  return {
    path: "value",
    resourceFieldRef: { containerName: "test", resource: name, ...(divisor ? { divisor } : {}) },
  };
}

function shown(given: Given, way: Way, item: File, more: Draft<corev1.Container> = {}): Promise<string> {
  const container = shell(given.image, `cat /etc/podinfo/${item.path}`, { volumeMounts, ...more });
  return outputOf(given, container, { spec: { volumes: [way([item])] } });
}

for (const [id, name, divisor, value, way] of [
  ["storage-238b07", "limits.cpu", undefined, "2", plain],
  ["storage-bfd127", "limits.memory", undefined, "67108864", plain],
  ["storage-6a9db1", "requests.cpu", "1m", "250", plain],
  ["storage-26ebaf", "requests.memory", "1Mi", "32", plain],
  ["storage-b9e46a", "limits.cpu", undefined, "2", projected],
  ["storage-b373a7", "limits.memory", undefined, "67108864", projected],
  ["storage-7ceab2", "requests.cpu", "1m", "250", projected],
  ["storage-caef89", "requests.memory", "1Mi", "32", projected],
] as const)
  conformance(id, `${name} as a ${way === plain ? "" : "projected "}file`, async (given) => {
    expect((await shown(given, way, resource(name, divisor), { resources })).trim()).toBe(value);
  });

for (const [id, name, unit, way] of [
  ["storage-219453", "cpu", "1m", plain],
  ["storage-e1e27b", "memory", "1Ki", plain],
  ["storage-331334", "cpu", "1m", projected],
  ["storage-5fa456", "memory", "1Ki", projected],
] as const)
  conformance(
    id,
    `Without a limit the node's allocatable ${name} as a ${way === plain ? "" : "projected "}file`,
    async (given) => {
      const { items } = await given.kube.resource(nodes).list();
      const most = items.map(({ status }) => String(status?.allocatable?.[name]));
      const value = (await shown(given, way, resource(`limits.${name}`, unit))).trim();
      const wanted = most.map((amount) => {
        if (name === "cpu")
          return String(amount.endsWith("m") ? Number.parseInt(amount, 10) : Number(amount) * 1000);
        return amount.endsWith("Ki")
          ? String(Number.parseInt(amount, 10))
          : String(Math.ceil(Number(amount) / 1024));
      });
      expect(wanted).toContain(value);
    },
  );

for (const [id, way] of [
  ["storage-ca1ff1", plain],
  ["storage-e65530", projected],
] as const)
  conformance(id, `A pod's name as a ${way === plain ? "" : "projected "}file`, async (given) => {
    const container = shell(given.image, "cat /etc/podinfo/podname", { volumeMounts });
    const spec = { volumes: [way([field("podname", "metadata.name")])] };
    expect(await outputOf(given, container, { name: "named", spec })).toBe("named");
  });

for (const [id, way, mode] of [
  ["storage-aefbe6", plain, "default"],
  ["storage-d3cf0b", plain, "item"],
  ["storage-8e565a", projected, "default"],
  ["storage-99253b", projected, "item"],
] as const)
  conformance(id, `A ${way === plain ? "" : "projected "}file's mode, by ${mode}`, async (given) => {
    const item = { ...field("podname", "metadata.name"), ...(mode === "item" ? { mode: 0o400 } : {}) };
    const container = shell(given.image, "stat -L -c %A /etc/podinfo/podname && cat /etc/podinfo/podname", {
      volumeMounts,
    });
    const spec = { volumes: [way([item], mode === "default" ? 0o400 : undefined)] };
    expect(await outputOf(given, container, { name: "named", spec })).toBe("-r--------\nnamed");
  });

for (const [id, what, way] of [
  ["storage-758c45", "labels", plain],
  ["storage-33709f", "annotations", plain],
  ["storage-12f436", "labels", projected],
  ["storage-d41670", "annotations", projected],
] as const)
  conformance(
    id,
    `A pod's ${what} as a ${way === plain ? "" : "projected "}file follow their changes`,
    async (given) => {
      const script = "while true; do cat /etc/podinfo/info; echo; sleep 0.5; done";
      const spec = {
        containers: [shell(given.image, script, { volumeMounts })],
        volumes: [way([field("info", `metadata.${what}`)])],
      };
      const pod = await createPod(given, { [what]: { key1: "value1", key2: "value2" }, spec });
      await untilLogged(given, pod, 'key1="value1"');
      await given.kube
        .resource(pods, given.namespace)
        .patch(pod, "merge", { metadata: { [what]: { key3: "value3" } } });
      await untilLogged(given, pod, 'key3="value3"');
    },
  );

conformance("storage-78c8b6", "Everything that can be projected, in one volume", async (given) => {
  const { kube, namespace, image } = given;
  await kube
    .resource(configMaps, namespace)
    .create({ metadata: { name: "all" }, data: { "configmap-data": "configmap-value-1" } });
  await kube
    .resource(secrets, namespace)
    .create({ metadata: { name: "all" }, stringData: { "secret-data": "secret-value-1" } });
  const volume = {
    name: "info",
    projected: {
      sources: [
        { downwardAPI: { items: [field("podname", "metadata.name")] } },
        { secret: { name: "all" } },
        { configMap: { name: "all" } },
      ],
    },
  };
  const script = "cd /etc/podinfo; cat podname; echo; cat secret-data; echo; cat configmap-data";
  const text = await outputOf(given, shell(image, script, { volumeMounts }), {
    name: "all-in-one",
    spec: { volumes: [volume] },
  });
  expect(text.split("\n")).toEqual(["all-in-one", "secret-value-1", "configmap-value-1"]);
});
