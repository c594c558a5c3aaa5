/**
 * The runtime half of the generator: every API type as one line of text that `src/api/meta/schema.ts` expands when the
 * type is first used, and the table of served resources.
 *
 * A line is `name TAB flags TAB special TAB group/version/kind,… TAB field;field…`; a field is
 * `name,type,tag,flags,default,enum,listType,mapKeys,patchStrategy,mergeKey` with empty tails cut off. A type is a
 * letter for a scalar or the line number of a type, after `[` for a list or `{` for a map.
 */
import { resolve, type SpecField, type SpecType } from "./types.ts";

const scalarLetters: Record<string, string> = {
  string: "s",
  bool: "b",
  boolean: "b",
  bytes: "y",
  int32: "i",
  int64: "l",
  double: "d",
};

/** Types whose JSON is not the object of their fields, as the schema names them. */
const specials: Record<string, string> = {
  Time: "time",
  MicroTime: "microTime",
  Quantity: "quantity",
  QuantityValue: "quantity",
  IntOrString: "intOrString",
  RawExtension: "raw",
  JSON: "raw",
  FieldsV1: "fields",
  Duration: "duration",
  JSONSchemaPropsOrBool: "schemaOrBool",
  JSONSchemaPropsOrArray: "schemaOrArray",
  JSONSchemaPropsOrStringArray: "schemaOrStrings",
  ExtraValue: "strings",
  Verbs: "strings",
};

/**
 * Go tells a field that was left out from one that is zero only where the field is a pointer. These optional strings
 * are; every other optional string is left out when it is empty.
 */
const pointerStrings = new Set(
  (
    "storageClassName volumeAttributesClassName currentVolumeAttributesClassName targetVolumeAttributesClassName " +
    "appProtocol runtimeClassName ingressClassName loadBalancerClass apiGroup service hostnameOverride procMount " +
    "preemptionPolicy dataSourceRef hostProcess runAsUserName gmsaCredentialSpec gmsaCredentialSpecName " +
    "fsGroupChangePolicy mountPropagation recursiveReadOnly fsType volumeMode persistentVolumeName " +
    "ipFamilyPolicy internalTrafficPolicy trafficDistribution completionMode podReplacementPolicy managedBy " +
    "unhealthyPodEvictionPolicy holderIdentity strategy preferredHolder clusterScope signerName localhostProfile " +
    "matchPolicy failurePolicy sideEffects scope reinvocationPolicy url path selectPolicy namespace exec " +
    "preferredVersion parameterNotFoundAction nominatedNodeName stopSignal timeZone trafficPolicy cachingMode"
  ).split(" "),
);

/** … except these types, where the named field is a pointer although elsewhere it is not (and the other way round). */
const pointerStringsOf: Record<string, readonly string[]> = {
  "discovery.v1.Endpoint": ["hostname", "nodeName", "zone"],
  "discovery.v1.EndpointPort": ["name", "protocol", "appProtocol"],
  "core.v1.PodDNSConfigOption": ["value"],
  "core.v1.HostPathVolumeSource": ["type"],
  "core.v1.EndpointAddress": ["nodeName"],
  "core.v1.PortStatus": ["error"],
  "core.v1.PersistentVolumeClaimSpec": ["volumeMode", "storageClassName"],
};
const valueStringsOf: Record<string, readonly string[]> = {
  "core.v1.ObjectReference": ["namespace"],
  "meta.v1.ObjectMeta": ["namespace"],
  "core.v1.PodStatus": ["nominatedNodeName"],
  "core.v1.HTTPGetAction": ["path"],
  "core.v1.KeyToPath": ["path"],
  "core.v1.SecretReference": ["namespace"],
};

/** Optional numbers and booleans that are no pointers: left out when zero or false. */
const valueNumbers = new Set(
  (
    "hostPort nodePort port initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold " +
    "minReadySeconds observedGeneration generation signal fullyLabeledReplicas updatedReplicas readyReplicas " +
    "availableReplicas unavailableReplicas active succeeded failed currentReplicas count " +
    "sizeBytes code retryAfterSeconds hostNetwork hostPID hostIPC readOnly stdin stdinOnce tty paused unschedulable " +
    "publishNotReadyAddresses nonResourceAttributes allowed denied incomplete watch allowWatchBookmarks limit " +
    "authenticated insecureSkipTLSVerify healthCheckNodePort updatedNumberScheduled numberAvailable numberUnavailable " +
    "preserveUnknownFields nullable uniqueItems exclusiveMaximum exclusiveMinimum x-kubernetes-embedded-resource " +
    "x-kubernetes-int-or-string"
  ).split(" "),
);
const pointerNumbersOf: Record<string, readonly string[]> = {
  "core.v1.ClientIPConfig": ["timeoutSeconds"],
  "discovery.v1.EndpointPort": ["port"],
  "admissionregistration.v1.ServiceReference": ["port"],
  "meta.v1.ListOptions": ["timeoutSeconds"],
  "apps.v1.StatefulSetStatus": ["availableReplicas"],
  "batch.v1.JobStatus": ["ready", "terminating"],
};

/** `io.k8s.api.core.v1.Pod` → `core.v1.Pod`. */
function shortName(fullName: string): string {
  return fullName.split(".").slice(-3).join(".");
}

function omitsZero(fullName: string, name: string, field: SpecField, letter: string): boolean {
  if (field.required || field.repeated || field.default !== undefined) return false;
  const owner = shortName(fullName);
  if (letter === "s") {
    if (valueStringsOf[owner]?.includes(name)) return true;
    return !pointerStrings.has(name) && !pointerStringsOf[owner]?.includes(name);
  }
  if (!"bil".includes(letter) || pointerNumbersOf[owner]?.includes(name)) return false;
  if (name === "replicas") return owner.endsWith("Status");
  return valueNumbers.has(name);
}

/** A field in OpenAPI's own form (types without a .proto file) in the form of the others. */
function normalized(field: SpecField): SpecField {
  const ref = (f: { $ref?: string; type?: string }) =>
    f.$ref?.replace("#/definitions/", "") ?? f.type ?? "string";
  const repeated = field.type === "array";
  let type = repeated ? ref(field.items ?? {}) : ref(field);
  if (type === "integer") type = field.format ?? "int64";
  if (type === "string" && field.format === "byte") type = "bytes";
  return {
    ...field,
    type,
    ...(repeated ? { repeated } : {}),
    listType: field.listType ?? field["x-kubernetes-list-type"],
    listMapKeys: field.listMapKeys ?? field["x-kubernetes-list-map-keys"],
    patchMergeKey: field.patchMergeKey ?? field["x-kubernetes-patch-merge-key"],
    patchStrategy: field.patchStrategy ?? field["x-kubernetes-patch-strategy"],
  };
}

function typeCode(raw: string, from: string, known: Set<string>, index: Map<string, number>): string {
  const letter = scalarLetters[raw];
  if (letter) return letter;
  const target = resolve(raw, from, known);
  if (!target) throw new Error(`${from}: unknown type ${raw}`);
  return String(index.get(target));
}

function fieldText(
  fullName: string,
  name: string,
  spec: SpecField,
  known: Set<string>,
  index: Map<string, number>,
): string {
  const field = normalized(spec);
  const raw = field.type ?? "string";
  const map = /^map<string, (.*)>$/.exec(raw);
  const code = typeCode(map ? map[1]! : raw, fullName, known, index);
  const prefix = map ? "{" : field.repeated ? "[" : "";
  const atomic = field.mapType === "atomic" ? "a" : "";
  const zero = !map && omitsZero(fullName, name, field, code) ? "z" : "";
  const literal = field.default !== undefined && !String(field.default).startsWith("ref(");
  const columns = [
    name,
    `${prefix}${code}`,
    field.tag ?? 0,
    `${field.required ? "r" : ""}${field.inline ? "n" : ""}${atomic}${zero}`,
    literal ? JSON.stringify(field.default) : "",
    (field.enum ?? []).join("|"),
    field.listType ?? "",
    (field.listMapKeys ?? []).join("|"),
    (field.patchStrategy ?? "").replace(",", "|"),
    field.patchMergeKey ?? "",
  ].map(String);
  for (const column of columns)
    if (/[,;\t\n]/.test(column)) throw new Error(`${fullName}.${name}: ${column}`);
  return columns.join(",").replace(/,+$/, "");
}

/** The schema as text, one line for each type, in the order of their names. */
export function schemaText(types: Record<string, SpecType>): string {
  const names = Object.keys(types).sort();
  const known = new Set(names);
  const index = new Map(names.map((name, i) => [name, i]));
  const lines = names.map((fullName) => {
    const type = types[fullName]!;
    const flags = `${type.openapi || type.openapiOnly ? "o" : ""}${type.mapType === "atomic" ? "a" : ""}`;
    const gvk = (type.gvk ?? []).map((g) => `${g.group}/${g.version}/${g.kind}`);
    const fields = Object.entries(type.fields ?? {}).filter(
      ([name]) => (name !== "apiVersion" && name !== "kind") || !type.openapiOnly,
    );
    const texts = fields.map(([name, field]) =>
      fieldText(
        fullName,
        name,
        { ...field, required: field.required || type.required?.includes(name) },
        known,
        index,
      ),
    );
    const special = specials[fullName.split(".").at(-1)!] ?? "";
    return [
      fullName,
      flags,
      special,
      gvk.length > 1 ? `*/v1/${type.gvk![0]!.kind}` : gvk.join(","),
      texts.join(";"),
    ].join("\t");
  });
  return lines.join("\n");
}

/** One served resource as `resources.json` states it. */
export interface SpecResource {
  group: string;
  version: string;
  resource: string;
  kind: string;
  namespaced: boolean;
  verbs: string[];
  subresources: Record<string, { kind: string; group: string; version: string; verbs: string[] }>;
}

const discoveryVerbs: Record<string, string[]> = {
  get: ["get"],
  list: ["list", "watch"],
  post: ["create"],
  put: ["update"],
};

/** The module of the resource table. */
export function resourceModule(resources: SpecResource[]): string {
  const rows = resources.map((r) => {
    const verbs = new Set(r.verbs.flatMap((v) => discoveryVerbs[v] ?? [v]));
    const subresources = Object.fromEntries(
      Object.entries(r.subresources).filter(([name]) => !name.includes("{")),
    );
    return { ...r, verbs: [...verbs].sort(), subresources };
  });
  const body = rows.map((row) => `  ${JSON.stringify(row)},\n`).join("");
  return `/** Every resource that Kubernetes v1.36 serves, whether this project has behaviour for it yet or not. */\nexport const servedResources: readonly ServedResource[] = [\n${body}];\n`;
}
