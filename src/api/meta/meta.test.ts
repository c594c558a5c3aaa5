import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { pods } from "../core/pod.ts";
import { DecodeError, decode, strictWarnings } from "./decode.ts";
import { matchesFields, parseFieldSelector } from "./field-selector.ts";
import { scaledValue } from "./int-or-string.ts";
import {
  formatLabelSelector,
  matchesLabels,
  parseLabelSelector,
  selectorMatches,
  validateLabelSelector,
} from "./label-selector.ts";
import { parseJson, strictProblems } from "./parse-json.ts";
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  parseQuantity,
  quantityMilliValue,
  quantityValue,
} from "./quantity.ts";
import { schemaOf, typeNames } from "./schema.ts";
import { ageOf, canonicalMicroTime, canonicalTime, formatAge, formatTime, parseTime } from "./time.ts";

const deployment = "io.k8s.api.apps.v1.Deployment";

describe("schema", () => {
  test("every type expands, and every field leads to a type", () => {
    for (const name of typeNames()) {
      for (const field of schemaOf(name).ownFields)
        if (field.kind === "message") expect(field.type().name).toBeTruthy();
    }
    expect(typeNames().length).toBeGreaterThan(800);
  });

  test("knows what patches and lists need", () => {
    const field = schemaOf("io.k8s.api.core.v1.PodSpec").fields.get("containers")!;
    expect(field).toMatchObject({
      container: "list",
      required: true,
      patchMergeKey: "name",
      listType: "map",
      listMapKeys: ["name"],
    });
    expect(schemaOf("io.k8s.api.core.v1.Volume").fields.has("emptyDir")).toBe(true);
  });
});

describe("decode", () => {
  test("names unknown fields by their path and drops them", () => {
    const object = {
      spec: { foo: 1, template: { spec: { containers: [{ name: "a", bad: 2 }] } } },
      extra: true,
    };
    const { unknown } = decode(deployment, object);
    expect(unknown).toEqual(["spec.foo", "spec.template.spec.containers[0].bad", "extra"]);
    expect(object).toEqual({ spec: { template: { spec: { containers: [{ name: "a" }] } } } });
    expect(strictWarnings(["spec.foo"], ["spec.replicas"])).toEqual([
      'duplicate field "spec.replicas"',
      'unknown field "spec.foo"',
    ]);
  });

  test.each([
    [
      { spec: { replicas: "3" } },
      "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
    ],
    [
      { spec: { replicas: 1.5 } },
      "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
    ],
    [{ spec: { replicas: 2147483648 } }, "of type int32"],
    [
      { spec: { paused: "yes" } },
      "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.paused of type bool",
    ],
    [
      { spec: [] },
      "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec",
    ],
    [
      { spec: { template: { spec: { containers: {} } } } },
      "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
    ],
    [
      { metadata: { labels: { a: 1 } } },
      "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
    ],
    [
      { metadata: { creationTimestamp: "today" } },
      'parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006"',
    ],
    [{ kind: 5 }, "json: cannot unmarshal number into Go struct field Deployment.kind of type string"],
    ["text", "json: cannot unmarshal string into Go value of type v1.Deployment"],
  ])("refuses %j", (value, message) => {
    expect(() => decode(deployment, value)).toThrow(message);
  });

  test("nulls and empty optional values go, zeros of pointers stay", () => {
    const object = {
      metadata: { creationTimestamp: null, labels: {}, generation: 0 },
      spec: {
        replicas: 0,
        paused: false,
        minReadySeconds: 0,
        template: { spec: { containers: [], nodeName: "", volumes: [] } },
      },
    };
    decode(deployment, object);
    expect(object).toEqual({ metadata: {}, spec: { replicas: 0, template: { spec: { containers: [] } } } });
  });

  test("an element that is null is the struct that Go makes of it, with what that always holds", () => {
    const object: Record<string, unknown> = { spec: { containers: [null] } };
    decode("io.k8s.api.core.v1.Pod", object);
    expect(object).toEqual({ spec: { containers: [{ name: "" }] } });
  });

  test("quantities and times take their canonical form", () => {
    const container = { name: "a", resources: { limits: { cpu: 0.5, memory: "1024Ki" } } };
    const object = {
      metadata: { creationTimestamp: "2026-01-02T05:04:05.123+02:00" },
      spec: { containers: [container] },
    };
    decode("io.k8s.api.core.v1.Pod", object);
    expect(container.resources.limits).toEqual({ cpu: "500m", memory: "1Mi" });
    expect(object.metadata.creationTimestamp).toBe("2026-01-02T03:04:05Z");
  });

  test("never crashes: every JSON is decoded or refused with a sentence, and decoding again changes nothing", () => {
    const fields = fc.constantFrom(
      "metadata",
      "spec",
      "template",
      "containers",
      "labels",
      "replicas",
      "resources",
      "limits",
    );
    const json = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 5 },
        fc.jsonValue({ maxDepth: 1 }),
        fc.dictionary(fields, tie("value")),
        fc.array(tie("value")),
      ),
    })).value;
    fc.assert(
      fc.property(json, (value) => {
        try {
          decode(deployment, value);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
          return;
        }
        const again = structuredClone(value);
        expect(decode(deployment, again).unknown).toEqual([]);
        expect(again).toEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  test("binary data must be base64", () => {
    const secret = "io.k8s.api.core.v1.Secret";
    expect(() => decode(secret, { data: { a: "!!!" } })).toThrow("illegal base64 data at input byte 0");
    const long = Buffer.alloc(100_000, 7).toString("base64");
    expect(decode(secret, { data: { a: long, b: "YQ==\n" } }).unknown).toEqual([]);
    expect(() => decode(secret, { data: { a: `${long.slice(0, -4)}a b=` } })).toThrow("illegal base64");
  });
});

describe("JSON text", () => {
  test("keys that stand twice are told by path", () => {
    const text = '{"a":1,"b":[{"c":"x,{","d":{"e":1}},{"c":1,"c":2}],"a":3,"x":{"a":1}}';
    expect(parseJson(text, { duplicates: true })).toEqual({
      value: JSON.parse(text),
      duplicates: ["b[1].c", "a"],
    });
    expect(parseJson(text).duplicates).toEqual([]);
  });

  test("keys that stand twice are found behind any text", () => {
    const texts = fc.string({ unit: fc.constantFrom("\\", '"', "{", "[", ",", "a"), maxLength: 12 });
    fc.assert(
      fc.property(texts, texts, (key, value) => {
        const [name, said] = [JSON.stringify(key), JSON.stringify(value)];
        const once = `{${name}:${said},"b":[${said}]}`;
        expect(parseJson(once, { duplicates: true }).duplicates).toEqual([]);
        const { duplicates } = parseJson(`{"x":${said},${name}:1,"y":${said},${name}:2}`, {
          duplicates: true,
        });
        expect(duplicates).toEqual([key]);
      }),
    );
  });

  test("what is no JSON, and what is too deep, is refused", () => {
    expect(() => parseJson("{")).toThrow(DecodeError);
    expect(() => parseJson("")).toThrow("unexpected end of JSON input");
    expect(() => parseJson("{nope}")).toThrow("invalid character");
    expect(() => parseJson(`${"[".repeat(5000)}${"]".repeat(5000)}`)).toThrow("exceeded max depth");
    const hidden = `{"a":${"[".repeat(5000)}${"]".repeat(5000)},"a":1}`;
    expect(() => parseJson(hidden, { duplicates: true })).toThrow("exceeded max depth");
  });

  test("tells what strict decoding minds in the order of the text", () => {
    const text = '{"spec":{"lost":{"deep":1},"n":2,"n":3,"list":[{"a":1},{"b":1,"a":2,"a":3}]},"spec":{}}';
    const unknown = ["spec.lost", "spec.list[1].b"];
    const { duplicates } = parseJson(text, { duplicates: true });
    expect(strictProblems(text, unknown, duplicates)).toEqual([
      'unknown field "spec.lost"',
      'duplicate field "spec.n"',
      'unknown field "spec.list[1].b"',
      'duplicate field "spec.list[1].a"',
      'duplicate field "spec"',
    ]);
  });

  test("loses no problem that the text does not have", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string()), fc.uniqueArray(fc.string()), (unknown, duplicates) => {
        const told = strictProblems('{"a":1,"a":{"b":2}}', unknown, duplicates);
        expect([...told].sort()).toEqual([...strictWarnings(unknown, duplicates)].sort());
      }),
    );
  });

  test("finds exactly the duplicates of any JSON: none", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseJson(text, { duplicates: true })).toEqual({ value: JSON.parse(text), duplicates: [] });
      }),
    );
  });
});

describe("quantities", () => {
  test.each([
    ["1000m", "1"],
    ["0.5", "500m"],
    ["1.5Gi", "1536Mi"],
    ["100000", "100k"],
    ["1024Ki", "1Mi"],
    ["1e3", "1e3"],
    ["1E", "1E"],
    ["0.1n", "1n"],
    ["-1500m", "-1500m"],
    ["0", "0"],
    ["0Ki", "0"],
    ["1023Ki", "1023Ki"],
    ["12345678901234567890", "12345678901234567890"],
  ])("%s is kept as %s", (given, canonical) => {
    expect(canonicalQuantity(given)).toBe(canonical);
    expect(canonicalQuantity(canonical)).toBe(canonical);
  });

  test.each(["", "x", "1 Gi", "1.2.3", "Gi", "1Zi", ".", "+", "1e", "9".repeat(200)])(
    "%j is none",
    (text) => {
      expect(parseQuantity(text)).toBeUndefined();
    },
  );

  test("order, sums and numbers", () => {
    expect(compareQuantities("1", "1000m")).toBe(0);
    expect(compareQuantities("1Gi", "1G")).toBe(1);
    expect(addQuantities("500m", "1")).toBe("1500m");
    expect(addQuantities(0, "64Mi")).toBe("64Mi");
    expect([quantityValue("64Gi"), quantityValue("1500m"), quantityValue(undefined)]).toEqual([
      68719476736, 2, 0,
    ]);
    expect([quantityMilliValue("1500m"), quantityMilliValue("2"), quantityMilliValue("0.1")]).toEqual([
      1500, 2000, 100,
    ]);
  });

  test("the fast path says what the exact one says", () => {
    const suffix = fc.constantFrom("", "m", "k", "M", "G", "Ki", "Mi", "Gi");
    fc.assert(
      fc.property(fc.nat(999_999_999), suffix, (n, s) => {
        const exact = Number(parseQuantity(`${n}${s}`)!.nanos) / 1e9;
        expect(quantityValue(`${n}${s}`)).toBeCloseTo(Math.ceil(exact), -3);
        expect(compareQuantities(canonicalQuantity(`${n}${s}`)!, `${n}${s}`)).toBe(0);
      }),
    );
  });
});

describe("time", () => {
  test("timestamps", () => {
    expect(formatTime(0)).toBe("1970-01-01T00:00:00Z");
    expect(canonicalTime("2026-02-30T00:00:00Z")).toBeUndefined();
    expect(canonicalMicroTime("2026-01-01T00:00:00.5Z")).toBe("2026-01-01T00:00:00.500000Z");
    expect(parseTime("2026-01-01")).toBeUndefined();
  });

  test.each([
    [5, "5s"],
    [119, "119s"],
    [200, "3m20s"],
    [600, "10m"],
    [3 * 3600 + 300, "3h5m"],
    [26 * 3600, "26h"],
    [51 * 3600, "2d3h"],
    [12 * 86400, "12d"],
    [740 * 86400, "2y10d"],
    [-5, "<invalid>"],
  ])("%d seconds are shown as %s", (seconds, text) => {
    expect(formatAge(seconds * 1000)).toBe(text);
  });

  test("an unknown time", () => {
    expect(ageOf(undefined, 0)).toBe("<unknown>");
  });
});

describe("selectors", () => {
  const labels = { app: "web", tier: "front", n: "5" };

  test.each([
    ["", true],
    ["app=web", true],
    ["app==web,tier!=back", true],
    ["app in (web, db)", true],
    ["app notin (web)", false],
    ["!app", false],
    ["gone", false],
    ["!gone , app", true],
    ["gone!=x", true],
    ["n>4", true],
    ["n<4", false],
    ["app=", false],
  ])("%j matches: %s", (text, expected) => {
    expect(matchesLabels(parseLabelSelector(text), labels)).toBe(expected);
  });

  test.each(["a=b=c", "a,,b", "!", "a in b", "(", "a b", "a in (b", "-a=b", "a=b c", ",", "a>x"])(
    "%j is a 400",
    (text) => {
      expect(() => parseLabelSelector(text)).toThrow(expect.objectContaining({ code: 400 }));
    },
  );

  test("no text makes the parser crash", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseLabelSelector(text);
        } catch (error) {
          expect(error).toMatchObject({ code: 400 });
        }
      }),
    );
  });

  test("objects", () => {
    const selector = {
      matchLabels: { app: "web" },
      matchExpressions: [{ key: "tier", operator: "In", values: ["front", "a"] }],
    };
    expect(selectorMatches(selector, labels)).toBe(true);
    expect(selectorMatches(undefined, labels)).toBe(false);
    expect(selectorMatches({}, labels)).toBe(true);
    expect(formatLabelSelector(selector)).toBe("app=web,tier in (a,front)");
    expect(validateLabelSelector({ matchExpressions: [{ key: "a", operator: "In" }] }, "s")).toMatchObject([
      { field: "s.matchExpressions[0].values", type: "FieldValueRequired" },
    ]);
  });

  test("fields", () => {
    const pod = { metadata: { name: "p" }, spec: { nodeName: "n" }, status: { phase: "Running" } } as never;
    const match = (text: string) => matchesFields(pods, parseFieldSelector(text, pods), pod);
    expect(match("spec.nodeName=n,status.phase!=Failed")).toBe(true);
    expect(match("metadata.name=q")).toBe(false);
    expect(() => match("spec.nope=1")).toThrow("field label not supported: spec.nope");
    expect(() => match("nonsense")).toThrow("invalid selector");
  });

  test("percentages", () => {
    expect([
      scaledValue("25%", 10, true),
      scaledValue("25%", 10, false),
      scaledValue(3, 10, true),
      scaledValue("x", 1, true),
    ]).toEqual([3, 2, 3, undefined]);
  });
});
