/**
 * The environment of a container: services, `envFrom`, `env` with `$(VAR)` references. Pure.
 * https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/
 */
import type { corev1 } from "#api";
import { fieldValue, findContainer, resourceFieldValue } from "./field-paths.ts";

/** The container cannot be made from what there is: `CreateContainerConfigError`. */
export class ContainerConfigError extends Error {
  override name = "ContainerConfigError";
}

export interface EnvironmentInput {
  pod: Readonly<corev1.Pod>;
  container: Readonly<corev1.Container>;
  services: readonly Readonly<corev1.Service>[];
  configMaps: ReadonlyMap<string, corev1.ConfigMap>;
  secrets: ReadonlyMap<string, corev1.Secret>;
  podIps: readonly string[];
  hostIps: readonly string[];
  allocatable: Readonly<Record<string, string>>;
  /** What the pod's own files say; undefined leaves the variable out. */
  fileValue?(selector: Readonly<corev1.FileKeySelector>): string | undefined;
}

/**
 * `$(NAME)` becomes the value where it is known and stays where not; `$$` is a dollar.
 * https://github.com/kubernetes/kubernetes/blob/master/third_party/forked/golang/expansion/expand.go
 */
export function expand(text: string, values: Pick<ReadonlyMap<string, string>, "get">): string {
  let result = "";
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    const next = text[i + 1];
    if (character !== "$" || next === undefined) {
      result += character;
    } else if (next === "$") {
      result += "$";
      i++;
    } else if (next === "(") {
      const end = text.indexOf(")", i + 2);
      const name = end < 0 ? undefined : text.slice(i + 2, end);
      if (name === undefined) {
        result += "$(";
        i++;
      } else {
        result += values.get(name) ?? `$(${name})`;
        i = end;
      }
    } else {
      result += `$${next}`;
      i++;
    }
  }
  return result;
}

/** `my-svc` → `MY_SVC`. */
const variableOf = (name: string) => name.toUpperCase().replaceAll("-", "_");

/** https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables */
export function serviceVariables(services: readonly Readonly<corev1.Service>[]): [string, string][] {
  const variables: [string, string][] = [];
  for (const service of services) {
    const ip = service.spec?.clusterIP;
    const ports = service.spec?.ports ?? [];
    const first = ports[0];
    if (!ip || ip === "None" || !first) continue;
    const prefix = variableOf(service.metadata.name);
    const host = ip.includes(":") ? `[${ip}]` : ip;
    variables.push([`${prefix}_SERVICE_HOST`, ip], [`${prefix}_SERVICE_PORT`, String(first.port)]);
    for (const port of ports) {
      if (port.name) variables.push([`${prefix}_SERVICE_PORT_${variableOf(port.name)}`, String(port.port)]);
    }
    const url = (port: corev1.ServicePort) =>
      `${(port.protocol ?? "TCP").toLowerCase()}://${host}:${port.port}`;
    variables.push([`${prefix}_PORT`, url(first)]);
    for (const port of ports) {
      const protocol = (port.protocol ?? "TCP").toUpperCase();
      const name = `${prefix}_PORT_${port.port}_${protocol}`;
      variables.push([name, url(port)], [`${name}_PROTO`, protocol.toLowerCase()]);
      variables.push([`${name}_PORT`, String(port.port)], [`${name}_ADDR`, ip]);
    }
  }
  return variables;
}

/** The services a pod of `namespace` sees: its own namespace's, and always the API server's. */
export function visibleServices(
  all: readonly Readonly<corev1.Service>[],
  namespace: string,
  enableServiceLinks: boolean,
): Readonly<corev1.Service>[] {
  const byName = new Map<string, Readonly<corev1.Service>>();
  for (const service of all) {
    const own = service.metadata.namespace === namespace;
    const master = service.metadata.namespace === "default" && service.metadata.name === "kubernetes";
    if (own && enableServiceLinks) byName.set(service.metadata.name, service);
    else if (master && !byName.has("kubernetes")) byName.set("kubernetes", service);
  }
  return [...byName.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

const decode = (base64: string) => Buffer.from(base64, "base64").toString("utf8");

function fromSources(input: EnvironmentInput, values: Map<string, string>): void {
  for (const source of input.container.envFrom ?? []) {
    const { configMapRef, secretRef, prefix = "" } = source;
    const data: Record<string, string> = {};
    if (configMapRef) {
      const map = input.configMaps.get(configMapRef.name ?? "");
      if (!map && !configMapRef.optional)
        throw new ContainerConfigError(`configmap "${configMapRef.name}" not found`);
      Object.assign(data, map?.data);
    } else if (secretRef) {
      const secret = input.secrets.get(secretRef.name ?? "");
      if (!secret && !secretRef.optional)
        throw new ContainerConfigError(`secret "${secretRef.name}" not found`);
      for (const [key, value] of Object.entries(secret?.data ?? {})) data[key] = decode(value);
    }
    for (const [key, value] of Object.entries(data)) values.set(prefix + key, value);
  }
}

/** Undefined leaves the variable out (an optional key that is not there). */
function referenced(input: EnvironmentInput, source: Readonly<corev1.EnvVarSource>): string | undefined {
  const { pod } = input;
  const where = pod.metadata.namespace;
  if (source.fieldRef) return fieldValue(pod, source.fieldRef.fieldPath, input.podIps, input.hostIps);
  if (source.resourceFieldRef) {
    const { containerName } = source.resourceFieldRef;
    const container = containerName ? findContainer(pod, containerName) : input.container;
    return resourceFieldValue(source.resourceFieldRef, container, input.allocatable);
  }
  if (source.configMapKeyRef) {
    const { name = "", key, optional } = source.configMapKeyRef;
    const map = input.configMaps.get(name);
    if (!map && !optional) throw new ContainerConfigError(`configmap "${name}" not found`);
    const value = map?.data?.[key];
    if (map && value === undefined && !optional) {
      throw new ContainerConfigError(`couldn't find key ${key} in ConfigMap ${where}/${name}`);
    }
    return value;
  }
  if (source.secretKeyRef) {
    const { name = "", key, optional } = source.secretKeyRef;
    const secret = input.secrets.get(name);
    if (!secret && !optional) throw new ContainerConfigError(`secret "${name}" not found`);
    const value = secret?.data?.[key];
    if (secret && value === undefined && !optional) {
      throw new ContainerConfigError(`couldn't find key ${key} in Secret ${where}/${name}`);
    }
    return value === undefined ? undefined : decode(value);
  }
  if (source.fileKeyRef) return input.fileValue?.(source.fileKeyRef);
  return "";
}

/** Every variable by name; what comes later wins. Throws `ContainerConfigError` or `FieldPathError`. */
export function environmentOf(input: EnvironmentInput): Map<string, string> {
  const links = input.pod.spec.enableServiceLinks ?? true;
  const services = visibleServices(input.services, input.pod.metadata.namespace ?? "", links);
  const fromServices = new Map(serviceVariables(services));
  const values = new Map<string, string>();
  fromSources(input, values);
  for (const variable of input.container.env ?? []) {
    if (variable.valueFrom) {
      const value = referenced(input, variable.valueFrom);
      if (value !== undefined) values.set(variable.name, value);
    } else {
      values.set(variable.name, expand(variable.value ?? "", new Map([...fromServices, ...values])));
    }
  }
  return new Map([...fromServices, ...values]);
}

/** The ConfigMaps and Secrets a container's environment names. */
export function environmentNeeds(container: Readonly<corev1.Container>): {
  configMaps: string[];
  secrets: string[];
} {
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  for (const source of container.envFrom ?? []) {
    if (source.configMapRef?.name) configMaps.add(source.configMapRef.name);
    if (source.secretRef?.name) secrets.add(source.secretRef.name);
  }
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.configMapKeyRef?.name) configMaps.add(valueFrom.configMapKeyRef.name);
    if (valueFrom?.secretKeyRef?.name) secrets.add(valueFrom.secretKeyRef.name);
  }
  return { configMaps: [...configMaps], secrets: [...secrets] };
}
