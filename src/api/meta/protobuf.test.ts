import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DecodeError, decode } from "./decode.ts";
import {
  decodeMessage,
  decodeProtobuf,
  encodeMessage,
  encodeProtobuf,
  encodeWatchFrame,
} from "./protobuf.ts";
import { typeOfKind } from "./schema.ts";

const roundtripDir = join(import.meta.dirname, "../../../../shared/spec/roundtrip");

const pod = {
  kind: "Pod",
  apiVersion: "v1",
  metadata: {
    name: "web",
    namespace: "default",
    creationTimestamp: "2026-01-02T03:04:05Z",
    labels: { b: "2", a: "1" },
  },
  spec: {
    containers: [
      {
        name: "main",
        image: "nginx",
        resources: { limits: { cpu: "500m", memory: "1Gi" } },
        livenessProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 10 },
        ports: [{ containerPort: 80, protocol: "TCP" }],
      },
    ],
    terminationGracePeriodSeconds: 0,
    volumes: [{ name: "v", emptyDir: {} }],
    tolerations: [{ key: "x", tolerationSeconds: -1 }],
  },
};

describe("protobuf", () => {
  test("an object comes back as it went", () => {
    expect(decodeProtobuf(encodeProtobuf(pod)!)).toEqual(pod);
  });

  test("the bytes of a small object are those of the specification", () => {
    const bytes = encodeProtobuf({ apiVersion: "v1", kind: "Namespace", metadata: { name: "a" } } as never)!;
    expect(bytes.toString("latin1")).toBe(
      "k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x05\n\x03\n\x01a\x1a\x00\x22\x00",
    );
  });

  test("zero values that Go would leave out go when the object is decoded like a JSON body", () => {
    const object = decodeMessage(
      "io.k8s.api.core.v1.PodSpec",
      encodeMessage("io.k8s.api.core.v1.PodSpec", {
        containers: [],
        nodeName: "",
        hostNetwork: false,
        terminationGracePeriodSeconds: 0,
      }),
    );
    decode("io.k8s.api.core.v1.PodSpec", object);
    expect(object).toEqual({ containers: [], terminationGracePeriodSeconds: 0 });
  });

  test("big and negative numbers survive", () => {
    for (const sizeBytes of [0, 1, 127, 128, 2 ** 31, 2 ** 53 - 1, -1, -(2 ** 40)]) {
      const type = "io.k8s.api.core.v1.ContainerImage";
      expect(decodeMessage(type, encodeMessage(type, { sizeBytes }))).toEqual({ sizeBytes });
    }
  });

  test("a watch frame carries its length and the enveloped object", () => {
    const frame = encodeWatchFrame("ADDED", encodeProtobuf(pod)!);
    expect(frame.readUInt32BE(0)).toBe(frame.length - 4);
    expect(decodeMessage("io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent", frame.subarray(4))).toEqual({
      type: "ADDED",
      object: pod,
    });
  });

  test("damaged bytes are an error that says so, never a crash", () => {
    const good = encodeProtobuf(pod)!;
    fc.assert(
      fc.property(
        fc.nat(good.length - 1),
        fc.integer({ min: 0, max: 255 }),
        fc.boolean(),
        (at, byte, cut) => {
          const bad = Buffer.from(cut ? good.subarray(0, at) : good);
          if (!cut) bad[at] = byte;
          try {
            const { apiVersion, kind, ...rest } = decodeProtobuf(bad);
            const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
            decode(typeOfKind({ group: group!, version: version!, kind })!.name, rest);
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        },
      ),
      { numRuns: 500 },
    );
    expect(() => decodeProtobuf(Buffer.from("{}"))).toThrow("expected prefix");
  });

  test("a body nested without end is refused", () => {
    const type = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    let bytes = Buffer.alloc(0);
    // Field 25 (`not`) holds the type itself.
    for (let i = 0; i < 400; i++) bytes = Buffer.concat([encodeKey(25), encodeLength(bytes.length), bytes]);
    expect(() => decodeMessage(type, bytes)).toThrow(DecodeError);
  });
});

function encodeKey(field: number): Buffer {
  return encodeLength(field * 8 + 2);
}

function encodeLength(value: number): Buffer {
  return value < 128
    ? Buffer.from([value])
    : Buffer.concat([Buffer.from([(value % 128) | 0x80]), encodeLength(Math.floor(value / 128))]);
}

/** JSON's null is a value Go left out. */
function withoutNulls(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_, v) => (v === null ? undefined : v)));
}

describe("upstream's own round-trip data", () => {
  const files = existsSync(roundtripDir) ? readdirSync(roundtripDir).filter((f) => f.endsWith(".pb")) : [];
  test.skipIf(files.length > 0)("is absent here: only the fixtures above were checked", () => {
    expect(files).toEqual([]);
  });

  // A watch event has no envelope of its own.
  test.each(files.filter((f) => f !== "core.v1.WatchEvent.pb"))("%s", (file) => {
    const bytes = readFileSync(join(roundtripDir, file));
    const json = withoutNulls(
      JSON.parse(readFileSync(join(roundtripDir, file.replace(/pb$/, "json")), "utf8")),
    );
    const object = decodeProtobuf(bytes);
    expect(withoutNulls(object)).toEqual(json);
    expect(withoutNulls(decodeProtobuf(encodeProtobuf(object)!))).toEqual(json);
    const { apiVersion, kind } = object;
    const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
    const type = typeOfKind({ group: group!, version: version!, kind })!;
    expect(decode(type.name, json).unknown).toEqual([]);
  });
});
