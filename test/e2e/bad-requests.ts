/** Bad requests by the part that is bad, each with the answer that Kubernetes gives. */
import type { RawRequest } from "./raw.ts";

export const json = { "content-type": "application/json" };
export const configMaps = "/api/v1/namespaces/default/configmaps";
export const here = `${configMaps}/here`;
export const patch = (kind: string, body: string, path = here): RawRequest => ({
  method: "PATCH",
  path,
  headers: { "content-type": `application/${kind}` },
  body,
});
export const post = (body: unknown, more: Partial<RawRequest> = {}): RawRequest => ({
  method: "POST",
  path: configMaps,
  headers: json,
  body: typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  ...more,
});
export const configMap = (name: unknown, more: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  ...more,
});
const pod = (spec: unknown) => ({ apiVersion: "v1", kind: "Pod", metadata: { name: "bad" }, spec });
const pods = "/api/v1/namespaces/default/pods";
export const mebibyte = 1024 * 1024;

/** What is sent, and what has to come back. */
export type Case = [title: string, request: RawRequest, code: number, reason: string, message: RegExp];

export const bodies: Case[] = [
  ["JSON that is none", post("{nope"), 400, "BadRequest", /must be of type ConfigMap.*json parse error/],
  ["JSON that is cut off", post('{"kind":"ConfigMap","metadata":{'), 400, "BadRequest", /json parse error/],
  ["an empty body", post(""), 400, "BadRequest", /couldn't get version\/kind|unrecognized/],
  ["a list for an object", post("[]"), 400, "BadRequest", /cannot (be handled|unmarshal)|unrecognized/],
  ["null for an object", post("null"), 400, "BadRequest", /cannot|unrecognized/],
  ["JSON as deep as a well", post(`{"a":${"[".repeat(50_000)}`), 400, "BadRequest", /json parse error/],
  [
    "bytes that are no UTF-8",
    post(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22])),
    400,
    "BadRequest",
    /parse error/,
  ],
  [
    "YAML that is none",
    post("a: [b\nc: :", { headers: { "content-type": "application/yaml" } }),
    400,
    "BadRequest",
    /yaml parse error/,
  ],
  [
    "a YAML bomb",
    post(yamlBomb(), { headers: { "content-type": "application/yaml" } }),
    400,
    "BadRequest",
    /yaml parse error/,
  ],
  [
    "protobuf without its magic",
    post("k8x\0abc", { headers: { "content-type": "application/vnd.kubernetes.protobuf" } }),
    400,
    "BadRequest",
    /protobuf/,
  ],
  [
    "protobuf that is cut off",
    post(Buffer.from("6b38730 00a0c0a027631".replace(" ", ""), "hex"), {
      headers: { "content-type": "application/vnd.kubernetes.protobuf" },
    }),
    400,
    "BadRequest",
    /protobuf/,
  ],
  [
    "a content type nobody knows",
    post("x", { headers: { "content-type": "text/html" } }),
    415,
    "UnsupportedMediaType",
    /unknown format - accepted media types include: application\/json/,
  ],
  [
    "an Accept nobody can serve",
    { path: here, headers: { accept: "image/png" } },
    406,
    "NotAcceptable",
    /only the following media types are accepted: application\/json/,
  ],
  [
    "a body of more than 3 MiB",
    post(`{"a":"${"x".repeat(3 * mebibyte)}"}`),
    413,
    "RequestEntityTooLarge",
    /limit is 3145728/,
  ],
  [
    "a body of more than 3 MiB in pieces",
    post(`{"a":"${"x".repeat(4 * mebibyte)}"}`, { chunked: true }),
    413,
    "RequestEntityTooLarge",
    /limit is 3145728/,
  ],
];

export const objects: Case[] = [
  [
    "a number for a map",
    post(configMap("a", { data: 7 })),
    400,
    "BadRequest",
    /^ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap\.data/,
  ],
  [
    "a number for a string",
    post(configMap("a", { data: { a: 7 } })),
    400,
    "BadRequest",
    /cannot unmarshal number into Go struct field ConfigMap\.data of type string/,
  ],
  [
    "a string for a number",
    post(pod({ terminationGracePeriodSeconds: "soon" }), { path: pods }),
    400,
    "BadRequest",
    /cannot unmarshal string into Go struct field/,
  ],
  [
    "an object for a list",
    post(pod({ containers: {} }), { path: pods }),
    400,
    "BadRequest",
    /cannot unmarshal object into Go struct field/,
  ],
  [
    "a quantity that is none",
    post(pod({ containers: [{ name: "a", image: "b", resources: { limits: { cpu: "lots" } } }] }), {
      path: pods,
    }),
    400,
    "BadRequest",
    /quantities must match the regular expression/,
  ],
  [
    "another kind than the path's",
    post({ ...configMap("a"), kind: "Secret" }),
    400,
    "BadRequest",
    /Secret.*cannot be handled as a ConfigMap/,
  ],
  [
    "another version than the path's",
    post({ ...configMap("a"), apiVersion: "v9" }),
    400,
    "BadRequest",
    /the API version in the data \(v9\) does not match the expected API version \(v1\)/,
  ],
  [
    "another namespace than the path's",
    post({ ...configMap("a"), metadata: { name: "a", namespace: "other" } }),
    400,
    "BadRequest",
    /the namespace of the provided object does not match the namespace sent on the request/,
  ],
  [
    "a name that is none",
    post(configMap("Not_a_name")),
    422,
    "Invalid",
    /^ConfigMap "Not_a_name" is invalid: metadata\.name: Invalid value: "Not_a_name": a lowercase RFC 1123 subdomain/,
  ],
  [
    "a name that is too long",
    post(configMap("a".repeat(254))),
    422,
    "Invalid",
    /must be no more than 253 (characters|bytes)/,
  ],
  ["a name with a way out", post(configMap("../../etc")), 422, "Invalid", /metadata\.name: Invalid value/],
  ["a name that is a number", post(configMap(7)), 400, "BadRequest", /cannot unmarshal number/],
  ["no name", post({ ...configMap("a"), metadata: {} }), 422, "Invalid", /name or generateName is required/],
  [
    "a namespace that is not there",
    post(configMap("a"), { path: "/api/v1/namespaces/nowhere/configmaps" }),
    404,
    "NotFound",
    /^namespaces "nowhere" not found$/,
  ],
  [
    "labels that are none",
    post({ ...configMap("a"), metadata: { name: "a", labels: { "a b": "c/d" } } }),
    422,
    "Invalid",
    /metadata\.labels: Invalid value: "a b"/,
  ],
  [
    "a resourceVersion on what is new",
    post({ ...configMap("a"), metadata: { name: "a", resourceVersion: "7" } }),
    400,
    "BadRequest",
    /resourceVersion should not be set on objects to be created/,
  ],
  [
    "a pod without containers",
    post(pod({}), { path: pods }),
    422,
    "Invalid",
    /spec\.containers: Required value/,
  ],
  [
    "what is there already",
    post(configMap("here")),
    409,
    "AlreadyExists",
    /^configmaps "here" already exists$/,
  ],
  [
    "an unknown field, strictly",
    post(configMap("a", { nope: 1 }), { path: `${configMaps}?fieldValidation=Strict` }),
    400,
    "BadRequest",
    /strict decoding error: unknown field "nope"/,
  ],
  [
    "a field twice, strictly",
    post('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{},"data":{}}', {
      path: `${configMaps}?fieldValidation=Strict`,
    }),
    400,
    "BadRequest",
    /duplicate field "data"/,
  ],
  [
    "__proto__ as a field, strictly",
    post('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"__proto__":{"data":{}}}', {
      path: `${configMaps}?fieldValidation=Strict`,
    }),
    400,
    "BadRequest",
    /unknown field "__proto__"/,
  ],
];

export const routes: Case[] = [
  [
    "a group nobody knows",
    { path: "/apis/example.com/v1/things" },
    404,
    "NotFound",
    /could not find the requested resource/,
  ],
  [
    "a version nobody knows",
    { path: "/apis/apps/v7/deployments" },
    404,
    "NotFound",
    /could not find the requested resource/,
  ],
  [
    "a resource nobody knows",
    { path: "/api/v1/things" },
    404,
    "NotFound",
    /could not find the requested resource/,
  ],
  [
    "a subresource nobody knows",
    { path: `${here}/thing` },
    404,
    "NotFound",
    /could not find the requested resource/,
  ],
  ["a path nobody knows", { path: "/etc/passwd" }, 404, "NotFound", /could not find the requested resource/],
  ["an object nobody made", { path: `${configMaps}/gone` }, 404, "NotFound", /^configmaps "gone" not found$/],
  [
    "a method without a meaning",
    { method: "PUT", path: configMaps, headers: json, body: "{}" },
    405,
    "MethodNotAllowed",
    /not (supported|allowed)/,
  ],
  [
    "a method of one's own",
    { method: "PROPFIND", path: here },
    405,
    "MethodNotAllowed",
    /not (supported|allowed)/,
  ],
  ["an escape that is none", { path: `${configMaps}/%zz` }, 400, "BadRequest", /invalid URL escape/],
  [
    "a name with ../",
    { path: `${configMaps}/..%2f..%2fkube-system%2fsecrets` },
    404,
    "NotFound",
    /not found/,
  ],
  [
    "a namespace with ../",
    { path: "/api/v1/namespaces/..%2fkube-system/configmaps/kube-root-ca.crt" },
    404,
    "NotFound",
    /not found/,
  ],
  [
    "a namespace of dots",
    { path: "/api/v1/namespaces/../configmaps/kube-root-ca.crt" },
    404,
    "NotFound",
    /not found|could not find/,
  ],
  ["a NUL in a name", { path: `${configMaps}/a%00b` }, 404, "NotFound", /not found/],
  ["a very long name", { path: `${configMaps}/${"a".repeat(6000)}` }, 404, "NotFound", /not found/],
  ["a name that says __proto__", { path: `${configMaps}/__proto__` }, 404, "NotFound", /not found/],
  [
    "a resource that says constructor",
    { path: "/api/v1/namespaces/default/constructor" },
    404,
    "NotFound",
    /could not find/,
  ],
];

function yamlBomb(): string {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 9; i++)
    lines.push(
      `a${i}: &a${i} [${Array(9)
        .fill(`*a${i - 1}`)
        .join(", ")}]`,
    );
  return lines.join("\n");
}
