/** ConfigMaps, Secrets and projections of them as files: modes, paths, owners, changes while a pod runs. */
import { expect } from "vitest";
import { configMaps, type corev1, type Draft, namespaces, secrets } from "#api";
import { createPod, outputOf, shell, untilLogged } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";
import {
  configMapVolume,
  type Options,
  projectedConfigMap,
  projectedSecret,
  type Source,
  secretVolume,
} from "./files.ts";

const data = { "data-1": "value-1", "data-2": "value-2", "data-3": "value-3" };
const mapped = [{ key: "data-2", path: "path/to/data-2" }];

interface Look {
  options?: Options;
  file?: string;
  value?: string;
  rights?: string;
  security?: Draft<corev1.PodSecurityContext>;
  mounts?: number;
}

/** One pod that shows a file of the volume: its mode and what is in it. */
function shows(id: string, what: string, source: Source, look: Look = {}): void {
  const {
    options = {},
    file = "data-1",
    value = "value-1",
    rights = "-rw-r--r--",
    security,
    mounts = 1,
  } = look;
  conformance(id, `${source.title}, ${what}`, async (given) => {
    await source.create(given, "files", data);
    const names = Array.from({ length: mounts }, (_, i) => `volume-${i}`);
    const volumeMounts = names.map((name) => ({ name, mountPath: `/etc/${name}`, readOnly: true }));
    const script = names
      .map((name) => `stat -L -c %A /etc/${name}/${file} && cat /etc/${name}/${file} && echo`)
      .join(" && ");
    const spec = {
      volumes: names.map((name) => source.volume(name, "files", options)),
      ...(security ? { securityContext: security } : {}),
    };
    const text = await outputOf(given, shell(given.image, script, { volumeMounts }), { spec });
    expect(text.trim().split("\n")).toEqual(names.flatMap(() => [rights, value]));
  });
}

const user = { runAsUser: 1000 };
const readOnly = { defaultMode: 0o400 };
const path = { options: { items: mapped }, file: "path/to/data-2", value: "value-2" };
const ownMode = {
  options: { items: [{ ...mapped[0]!, mode: 0o400 }] },
  file: "path/to/data-2",
  value: "value-2",
  rights: "-r--------",
};

shows("storage-bf5949", "as it is", configMapVolume);
shows("storage-a326c0", "for another user", configMapVolume, { security: user });
shows("storage-6ef610", "with a mode", configMapVolume, { options: readOnly, rights: "-r--------" });
shows("storage-c7e047", "at a path", configMapVolume, path);
shows("storage-e5fbc2", "at a path, with a mode", configMapVolume, ownMode);
shows("storage-34ceca", "at a path, for another user", configMapVolume, { ...path, security: user });
shows("storage-1b2846", "at two mount points", configMapVolume, { mounts: 2 });
shows("storage-16bb1e", "as it is", secretVolume);
shows("storage-2ea38f", "with a mode", secretVolume, { options: readOnly, rights: "-r--------" });
shows("storage-ed13b4", "for a group", secretVolume, {
  options: { defaultMode: 0o440 },
  rights: "-r--r-----",
  security: { ...user, fsGroup: 1001 },
});
shows("storage-51d6c4", "at a path", secretVolume, path);
shows("storage-f23eda", "at a path, with a mode", secretVolume, ownMode);
shows("storage-a79d48", "at two mount points", secretVolume, { mounts: 2 });
shows("storage-c05092", "as it is", projectedConfigMap);
shows("storage-f5b102", "for another user", projectedConfigMap, { security: user });
shows("storage-5e0f15", "with a mode", projectedConfigMap, { options: readOnly, rights: "-r--------" });
shows("storage-c2ebce", "at a path", projectedConfigMap, path);
shows("storage-b8ae9d", "at a path, with a mode", projectedConfigMap, ownMode);
shows("storage-3645db", "at a path, for another user", projectedConfigMap, { ...path, security: user });
shows("storage-f592aa", "at two mount points", projectedConfigMap, { mounts: 2 });
shows("storage-728874", "as it is", projectedSecret);
shows("storage-8e4aba", "for a group", projectedSecret, {
  options: { defaultMode: 0o440 },
  rights: "-r--r-----",
  security: { ...user, fsGroup: 1001 },
});
shows("storage-dc77d2", "with a mode", projectedSecret, { options: readOnly, rights: "-r--------" });
shows("storage-1fb098", "at a path", projectedSecret, path);
shows("storage-99b5d2", "at a path, with a mode", projectedSecret, ownMode);
shows("storage-371ab1", "at two mount points", projectedSecret, { mounts: 2 });

const watching = (file: string) =>
  `while true; do cat ${file} 2>/dev/null || echo missing; echo; sleep 0.5; done`;

for (const [id, source] of [
  ["storage-868c0c", configMapVolume],
  ["storage-5694d8", projectedConfigMap],
] as const)
  conformance(id, `${source.title} follows its changes`, async (given) => {
    await source.create(given, "files", { "data-1": "value-1" });
    const volumeMounts = [{ name: "v", mountPath: "/etc/files", readOnly: true }];
    const container = shell(given.image, watching("/etc/files/data-1"), { volumeMounts });
    const pod = await createPod(given, {
      spec: { containers: [container], volumes: [source.volume("v", "files")] },
    });
    await untilLogged(given, pod, "value-1");
    await source.update(given, "files", { "data-1": "value-2" });
    await untilLogged(given, pod, "value-2");
  });

for (const [id, source] of [
  ["storage-1da961", configMapVolume],
  ["storage-968287", projectedConfigMap],
  ["storage-10c68b", secretVolume],
  ["storage-84f239", projectedSecret],
] as const)
  conformance(id, `${source.title} that may be missing comes, changes and goes`, async (given) => {
    await source.create(given, "deleted", { "data-1": "value-1" });
    await source.create(given, "updated", { "data-1": "value-1" });
    const names = ["deleted", "updated", "created"];
    const containers = names.map((name) =>
      shell(given.image, watching(`/etc/${name}/data-1`), {
        name,
        volumeMounts: [{ name, mountPath: `/etc/${name}`, readOnly: true }],
      }),
    );
    const volumes = names.map((name) => source.volume(name, name, { optional: true }));
    const pod = await createPod(given, { spec: { containers, volumes } });
    await untilLogged(given, pod, "value-1", "deleted");
    await untilLogged(given, pod, "value-1", "updated");
    await untilLogged(given, pod, "missing", "created");
    await source.remove(given, "deleted");
    await source.update(given, "updated", { "data-3": "value-3", "data-1": "value-2" });
    await source.create(given, "created", { "data-1": "value-1" });
    await untilLogged(given, pod, "value-1", "created");
    await untilLogged(given, pod, "value-2", "updated");
    await untilLogged(given, pod, "missing", "deleted");
  });

conformance("storage-1e8cfc", "A ConfigMap volume holds text and bytes", async (given) => {
  const bytes = Buffer.from([0xde, 0xca, 0xfe, 0xba, 0xd0, 0xfe, 0xff]);
  const maps = given.kube.resource(configMaps, given.namespace);
  await maps.create({
    metadata: { name: "files" },
    data: { "data-1": "value-1" },
    binaryData: { "dump.bin": bytes.toString("base64") },
  });
  const volumeMounts = [{ name: "v", mountPath: "/etc/files", readOnly: true }];
  const script = "cat /etc/files/data-1 && echo && hexdump -v -e '1/1 \"%02x\"' /etc/files/dump.bin";
  const text = await outputOf(given, shell(given.image, script, { volumeMounts }), {
    spec: { volumes: [configMapVolume.volume("v", "files")] },
  });
  expect(text.trim().split("\n")).toEqual(["value-1", bytes.toString("hex")]);
});

conformance("storage-928c2e", "A Secret volume is of the pod's own namespace", async (given) => {
  const other = given.unique("other");
  await given.kube.resource(namespaces).create({ metadata: { name: other } });
  given.afterwards(() => given.kube.resource(namespaces).delete(other));
  await secretVolume.create({ ...given, namespace: other }, "files", { "data-1": "not this one" });
  await secretVolume.create(given, "files", data);
  const volumeMounts = [{ name: "v", mountPath: "/etc/files", readOnly: true }];
  const script = "stat -L -c %A /etc/files/data-1 && cat /etc/files/data-1";
  const text = await outputOf(given, shell(given.image, script, { volumeMounts }), {
    spec: { volumes: [secretVolume.volume("v", "files")] },
  });
  expect(text.split("\n")).toEqual(["-rw-r--r--", "value-1"]);
});

for (const [id, title, type] of [
  ["storage-172be4", "A ConfigMap", configMaps],
  ["storage-84f6ab", "A Secret", secrets],
] as const)
  conformance(id, `${title} that is immutable stays as it is`, async ({ kube, namespace }) => {
    const all = kube.resource(type as typeof configMaps, namespace);
    const encoded = (text: string) => ({ data: { k: Buffer.from(text).toString("base64") } });
    await all.create({ metadata: { name: "fixed" }, ...encoded("one") });
    await all.patch("fixed", "merge", encoded("two"));
    await all.patch("fixed", "merge", { immutable: true });
    await expect(all.patch("fixed", "merge", encoded("three"))).rejects.toMatchObject({ code: 422 });
    await expect(all.patch("fixed", "merge", { immutable: false })).rejects.toMatchObject({ code: 422 });
    await expect(all.patch("fixed", "merge", { immutable: null })).rejects.toMatchObject({ code: 422 });
    await all.patch("fixed", "merge", { metadata: { labels: { label: "new" } } });
    await all.delete("fixed");
  });

/** A file, or a folder with one, by `subPath`. */
function showsPart(
  id: string,
  what: string,
  prepare: (given: Given) => Promise<Draft<corev1.Volume>>,
  subPath: string,
  value: string,
  mountPath = "/probe-volume/file",
): void {
  conformance(id, `A part of ${what}`, async (given) => {
    const volume = await prepare(given);
    const volumeMounts = [{ name: "v", mountPath, subPath, readOnly: true }];
    const text = await outputOf(given, shell(given.image, `cat ${mountPath}`, { volumeMounts }), {
      spec: { volumes: [volume] },
    });
    expect(text).toBe(value);
  });
}

const prepared = (source: Source) => async (given: Given) => {
  await source.create(given, "files", data);
  return source.volume("v", "files", { items: mapped });
};
const nodeName = {
  path: "downward/podname",
  fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" },
};

showsPart("storage-02bb12", "a Secret volume", prepared(secretVolume), "path/to/data-2", "value-2");
showsPart("storage-89e43e", "a ConfigMap volume", prepared(configMapVolume), "path/to/data-2", "value-2");
showsPart(
  "storage-0f6479",
  "a ConfigMap volume over a file of the image",
  prepared(configMapVolume),
  "path/to/data-2",
  "value-2",
  "/etc/passwd",
);
showsPart("storage-ecc265", "a projected volume", prepared(projectedConfigMap), "path/to/data-2", "value-2");

conformance("storage-2f1db3", "A part of a downward API volume", async (given) => {
  const volumeMounts = [
    { name: "v", mountPath: "/probe-volume/file", subPath: "downward/podname", readOnly: true },
  ];
  const volumes = [{ name: "v", downwardAPI: { items: [nodeName] } }];
  const text = await outputOf(given, shell(given.image, "cat /probe-volume/file", { volumeMounts }), {
    spec: { volumes },
  });
  expect(text).toBe(given.namespace);
});
