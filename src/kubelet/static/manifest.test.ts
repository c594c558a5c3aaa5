import fc from "fast-check";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import type { corev1 } from "#api";
import { hashOf, isMirror, isStatic, ManifestError, mirrorOf, staticPodOf } from "./manifest.ts";

const place = { file: "/pods/web.yaml", nodeName: "node-1", nowMs: 0 };
const manifest = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", labels: { app: "web" } },
  spec: { containers: [{ name: "main", image: "web:1" }] } as object,
};
const read = (value: unknown) => staticPodOf(stringify(value), place);

test("a file's pod is named after its node, bears every taint, and has an identity of its content", () => {
  const pod = read(manifest);
  expect(pod).toMatchObject({
    metadata: {
      name: "web-node-1",
      namespace: "default",
      uid: hashOf(pod),
      annotations: { "kubernetes.io/config.source": "file" },
    },
    spec: {
      nodeName: "node-1",
      restartPolicy: "Always",
      tolerations: [{ operator: "Exists", effect: "NoExecute" }],
    },
  });
  expect([isStatic(pod), isMirror(pod)]).toEqual([true, false]);
  expect(read(manifest).metadata.uid).toBe(pod.metadata.uid);
  const other = { ...manifest, spec: { containers: [{ name: "main", image: "web:2" }] } };
  expect(read(other).metadata.uid).not.toBe(pod.metadata.uid);
});

test("its mirror says whose it is", () => {
  const pod = read(manifest);
  const node = { metadata: { name: "node-1", uid: "u" } } as corev1.Node;
  const mirror = mirrorOf(pod, node) as corev1.Pod;
  expect(isMirror(mirror)).toBe(true);
  expect(mirror.metadata.annotations?.["kubernetes.io/config.mirror"]).toBe(pod.metadata.uid);
  expect(mirror.metadata.ownerReferences).toEqual([
    { apiVersion: "v1", kind: "Node", name: "node-1", uid: "u", controller: true },
  ]);
});

test.each([
  [{ ...manifest, kind: "Deployment" }, "not v1 Pod"],
  [{ ...manifest, spec: { containers: [] } }, "spec.containers: Required value"],
  [{ ...manifest, spec: { containers: "many" } }, ""],
  [
    { ...manifest, spec: { ...manifest.spec, volumes: [{ name: "s", secret: { secretName: "x" } }] } },
    "static pods may not reference secrets",
  ],
  [null, "not v1 Pod"],
])("refuses %j", (value, words) => {
  expect(() => read(value)).toThrow(ManifestError);
  expect(() => read(value)).toThrow(words);
});

test("whatever stands in a file, the answer is a pod or a reason", () => {
  const attempt = (content: string) => {
    try {
      return staticPodOf(content, place).kind;
    } catch (error) {
      return error instanceof ManifestError ? "refused" : error;
    }
  };
  fc.assert(fc.property(fc.string(), (content) => ["Pod", "refused"].includes(String(attempt(content)))));
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (spec, metadata) =>
      ["Pod", "refused"].includes(
        String(
          attempt(
            JSON.stringify({ ...manifest, spec, metadata: { ...manifest.metadata, labels: metadata } }),
          ),
        ),
      ),
    ),
  );
});
