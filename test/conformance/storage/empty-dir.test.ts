/** emptyDir volumes: modes, media, sharing. */
import { expect } from "vitest";
import { configMaps, pods, replicationControllers, secrets } from "#api";
import { sleeper } from "../objects.ts";
import { outputOf, shell } from "../pods.ts";
import { conformance } from "../suite.ts";

const nonRoot = { runAsUser: 1001 };

function checksMode(
  id: string,
  title: string,
  mode: string,
  rights: string,
  medium: "" | "Memory",
  isRoot: boolean,
): void {
  conformance(id, title, async (given) => {
    const file = "/test-volume/test-file";
    const script = `echo "mount-tester new file" > ${file} && chmod ${mode} ${file} && stat -c %A ${file} && cat ${file} && grep ' /test-volume ' /proc/mounts`;
    const container = shell(given.image, script, {
      volumeMounts: [{ name: "v", mountPath: "/test-volume" }],
      ...(isRoot ? {} : { securityContext: nonRoot }),
    });
    const text = await outputOf(given, container, {
      spec: { volumes: [{ name: "v", emptyDir: medium ? { medium } : {} }] },
    });
    expect(text).toContain(rights);
    expect(text).toContain("mount-tester new file");
    expect(/ \/test-volume tmpfs /.test(text)).toBe(medium === "Memory");
  });
}

for (const [id, mode, rights, medium, isRoot] of [
  ["storage-ebd883", "0644", "-rw-r--r--", "", true],
  ["storage-03d216", "0666", "-rw-rw-rw-", "", true],
  ["storage-396435", "0777", "-rwxrwxrwx", "", true],
  ["storage-ad605a", "0644", "-rw-r--r--", "Memory", true],
  ["storage-12c7c0", "0666", "-rw-rw-rw-", "Memory", true],
  ["storage-622744", "0777", "-rwxrwxrwx", "Memory", true],
  ["storage-4f6902", "0644", "-rw-r--r--", "", false],
  ["storage-21f066", "0666", "-rw-rw-rw-", "", false],
  ["storage-6c9053", "0777", "-rwxrwxrwx", "", false],
  ["storage-4a6d70", "0644", "-rw-r--r--", "Memory", false],
  ["storage-cc89aa", "0666", "-rw-rw-rw-", "Memory", false],
  ["storage-bccc3f", "0777", "-rwxrwxrwx", "Memory", false],
] as const)
  checksMode(
    id,
    `An emptyDir ${medium ? "in memory " : ""}holds files of mode ${mode}, ${isRoot ? "root" : "another user"}`,
    mode,
    rights,
    medium,
    isRoot,
  );

for (const [id, medium] of [
  ["storage-91710a", ""],
  ["storage-db9e3e", "Memory"],
] as const)
  conformance(id, `An emptyDir ${medium ? "in memory " : ""}is writable for everybody`, async (given) => {
    const script = "stat -c %A /test-volume && grep ' /test-volume ' /proc/mounts";
    const container = shell(given.image, script, {
      volumeMounts: [{ name: "v", mountPath: "/test-volume" }],
    });
    const text = await outputOf(given, container, {
      spec: { volumes: [{ name: "v", emptyDir: medium ? { medium } : {} }] },
    });
    expect(text).toMatch(/^drwxrwxrw[xt]/);
    expect(/ \/test-volume tmpfs /.test(text)).toBe(medium === "Memory");
  });

conformance("storage-3be027", "Containers of a pod share an emptyDir", async (given) => {
  const mount = { volumeMounts: [{ name: "shared", mountPath: "/usr/share/volumeshare" }] };
  const file = "/usr/share/volumeshare/shareddata.txt";
  const main = shell(given.image, `while [ ! -s ${file} ]; do sleep 0.2; done; cat ${file}`, mount);
  const sub = shell(given.image, `echo Hello from the sub-container > ${file}`, { ...mount, name: "sub" });
  const text = await outputOf(given, main, {
    spec: { containers: [sub], volumes: [{ name: "shared", emptyDir: {} }] },
  });
  expect(text).toContain("Hello from the sub-container");
});

conformance("storage-7708a8", "Secret and ConfigMap volumes live side by side", async (given) => {
  const { kube, namespace, image } = given;
  await kube
    .resource(secrets, namespace)
    .create({ metadata: { name: "wrapped" }, stringData: { "data-1": "value-1" } });
  await kube
    .resource(configMaps, namespace)
    .create({ metadata: { name: "wrapped" }, data: { "data-1": "value-2" } });
  const volumeMounts = [
    { name: "secret", mountPath: "/etc/secret-volume", readOnly: true },
    { name: "map", mountPath: "/etc/configmap-volume", readOnly: true },
  ];
  const volumes = [
    { name: "secret", secret: { secretName: "wrapped" } },
    { name: "map", configMap: { name: "wrapped" } },
  ];
  const script = "cat /etc/secret-volume/data-1 /etc/configmap-volume/data-1";
  expect(await outputOf(given, shell(image, script, { volumeMounts }), { spec: { volumes } })).toBe(
    "value-1value-2",
  );
});

conformance(
  "storage-fa5e38",
  "Fifty ConfigMap volumes in each of five pods",
  async ({ kube, namespace, image }) => {
    const names = Array.from({ length: 50 }, (_, i) => `racey-configmap-${i}`);
    const maps = kube.resource(configMaps, namespace);
    await Promise.all(
      names.map((name) => maps.create({ metadata: { name }, data: { "data-1": "value-1" } })),
    );
    const volumes = names.map((name) => ({
      name,
      configMap: { name, items: [{ key: "data-1", path: "data-1" }] },
    }));
    const volumeMounts = names.map((name) => ({ name, mountPath: `/etc/config-${name}` }));
    const labels = { name: "wrapped-volume-race" };
    const template = {
      metadata: { labels },
      spec: { containers: [sleeper(image, { volumeMounts })], volumes, terminationGracePeriodSeconds: 0 },
    };
    const controllers = kube.resource(replicationControllers, namespace);
    await controllers.create({
      metadata: { name: "race" },
      spec: { replicas: 5, selector: labels, template },
    });
    await controllers.until("race", ({ status }) => status?.readyReplicas === 5, 120_000);
    const { items } = await kube.resource(pods, namespace).list();
    expect(items.map(({ status }) => status?.phase)).toEqual(Array(5).fill("Running"));
  },
  { timeoutMs: 240_000 },
);
