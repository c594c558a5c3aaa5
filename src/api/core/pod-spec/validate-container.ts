/** Containers: image, ports, probes, hooks, security. */
import type { corev1 } from "../../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../../meta/field-error.ts";
import { dnsLabelErrors, portErrors, portNameErrors, qualifiedNameErrors } from "../../validation/names.ts";
import { validateEnv, validateEnvFrom } from "./validate-env.ts";
import { validateResources } from "./validate-resources.ts";
import { validateMounts } from "./validate-volumes.ts";

type Container = Readonly<corev1.Container>;

const protocols = ["SCTP", "TCP", "UDP"];
const pullPolicies = ["Always", "IfNotPresent", "Never"];
const messagePolicies = ["FallbackToLogsOnError", "File"];
const schemes = ["HTTP", "HTTPS"];
const restartPolicies = ["Always", "Never", "OnFailure"];
const idMax = 2147483647;
const portsMax = 1000;

/** What the checks of one container must know of the pod. */
export interface PodFacts {
  volumes: ReadonlySet<string>;
  hostNetwork: boolean;
}

export function validateContainer(container: Container, at: string, facts: PodFacts): FieldError[] {
  const errors: FieldError[] = [];
  if (!container.name) errors.push(required(`${at}.name`));
  else for (const e of dnsLabelErrors(container.name)) errors.push(invalid(`${at}.name`, container.name, e));
  errors.push(...validateImage(container, at));
  errors.push(...validatePorts(container.ports ?? [], `${at}.ports`, facts.hostNetwork));
  errors.push(...validateEnv(container.env ?? [], `${at}.env`));
  errors.push(...validateEnvFrom(container.envFrom ?? [], `${at}.envFrom`));
  errors.push(...validateMounts(container.volumeMounts ?? [], facts.volumes, `${at}.volumeMounts`));
  errors.push(...validateResources(container.resources, `${at}.resources`));
  errors.push(...validateSecurity(container.securityContext, `${at}.securityContext`));
  return errors;
}

function validateImage(container: Container, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const image = container.image ?? "";
  if (image === "") errors.push(required(`${at}.image`));
  else if (image.trim() !== image) {
    errors.push(invalid(`${at}.image`, image, "must not have leading or trailing whitespace"));
  }
  const { imagePullPolicy, terminationMessagePolicy } = container;
  if (!imagePullPolicy) errors.push(required(`${at}.imagePullPolicy`));
  else if (!pullPolicies.includes(imagePullPolicy)) {
    errors.push(notSupported(`${at}.imagePullPolicy`, imagePullPolicy, pullPolicies));
  }
  if (!terminationMessagePolicy) errors.push(required(`${at}.terminationMessagePolicy`));
  else if (!messagePolicies.includes(terminationMessagePolicy)) {
    errors.push(notSupported(`${at}.terminationMessagePolicy`, terminationMessagePolicy, messagePolicies));
  }
  return errors;
}

function validatePorts(
  ports: readonly corev1.ContainerPort[],
  path: string,
  hostNetwork: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  if (ports.length > portsMax) return [invalid(path, ports.length, `must have at most ${portsMax} items`)];
  for (const [i, port] of ports.entries()) {
    const at = `${path}[${i}]`;
    if (port.name) {
      for (const e of portNameErrors(port.name)) errors.push(invalid(`${at}.name`, port.name, e));
      if (names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    if (!port.containerPort) errors.push(required(`${at}.containerPort`));
    else
      for (const e of portErrors(port.containerPort))
        errors.push(invalid(`${at}.containerPort`, port.containerPort, e));
    if (port.hostPort)
      for (const e of portErrors(port.hostPort)) errors.push(invalid(`${at}.hostPort`, port.hostPort, e));
    if (hostNetwork && port.hostPort && port.hostPort !== port.containerPort) {
      const detail = "must match `hostPort` when `hostNetwork` is true";
      errors.push(invalid(`${at}.containerPort`, port.containerPort, detail));
    }
    if (!port.protocol) errors.push(required(`${at}.protocol`));
    else if (!protocols.includes(port.protocol))
      errors.push(notSupported(`${at}.protocol`, port.protocol, protocols));
  }
  return errors;
}

/** Two containers of one pod cannot hold the same port of the node. */
export function validateHostPorts(containers: readonly Container[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, container] of containers.entries()) {
    for (const [j, port] of (container.ports ?? []).entries()) {
      if (!port.hostPort) continue;
      const identity = `${port.protocol}/${port.hostIP ?? ""}/${port.hostPort}`;
      if (seen.has(identity)) errors.push(duplicate(`${path}[${i}].ports[${j}].hostPort`, identity));
      seen.add(identity);
    }
  }
  return errors;
}

function portOrNameErrors(port: number | string | undefined, field: string): FieldError[] {
  if (port === undefined) return [required(field)];
  const errors = typeof port === "number" ? portErrors(port) : portNameErrors(port);
  return errors.map((e) => invalid(field, port, e));
}

type Handler = Readonly<corev1.Probe & corev1.LifecycleHandler>;

function validateHandler(handler: Handler, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const kinds = (["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const).filter(
    (k) => handler[k] !== undefined,
  );
  if (kinds.length === 0) return [required(at, "must specify a handler type")];
  for (const kind of kinds.slice(1))
    errors.push(forbiddenField(`${at}.${kind}`, "may not specify more than 1 handler type"));
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  if (exec && !exec.command?.length) errors.push(required(`${at}.exec.command`));
  if (httpGet) {
    if (!httpGet.path) errors.push(required(`${at}.httpGet.path`));
    errors.push(...portOrNameErrors(httpGet.port, `${at}.httpGet.port`));
    if (httpGet.scheme && !schemes.includes(httpGet.scheme)) {
      errors.push(notSupported(`${at}.httpGet.scheme`, httpGet.scheme, schemes));
    }
    for (const header of httpGet.httpHeaders ?? []) {
      if (/^[-A-Za-z0-9]+$/.test(header.name)) continue;
      const rule = "a valid HTTP header must consist of alphanumeric characters or '-'";
      errors.push(
        invalid(
          `${at}.httpGet.httpHeaders`,
          header.name,
          `${rule} (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')`,
        ),
      );
    }
  }
  if (tcpSocket) errors.push(...portOrNameErrors(tcpSocket.port, `${at}.tcpSocket.port`));
  if (grpc) errors.push(...portOrNameErrors(grpc.port, `${at}.grpc.port`));
  if (sleep && (sleep.seconds ?? 0) < 0)
    errors.push(invalid(`${at}.sleep`, sleep.seconds, "must be greater than or equal to 0"));
  return errors;
}

const probeNumbers = [
  "initialDelaySeconds",
  "timeoutSeconds",
  "periodSeconds",
  "successThreshold",
  "failureThreshold",
] as const;

function validateProbe(
  probe: Readonly<corev1.Probe> | undefined,
  at: string,
  onlyOneSuccess: boolean,
): FieldError[] {
  if (!probe) return [];
  const errors = validateHandler(probe as Handler, at);
  for (const name of probeNumbers) {
    if ((probe[name] ?? 0) < 0)
      errors.push(invalid(`${at}.${name}`, probe[name], "must be greater than or equal to 0"));
  }
  if (probe.terminationGracePeriodSeconds !== undefined && probe.terminationGracePeriodSeconds <= 0) {
    errors.push(
      invalid(
        `${at}.terminationGracePeriodSeconds`,
        probe.terminationGracePeriodSeconds,
        "must be greater than 0",
      ),
    );
  }
  if (onlyOneSuccess && probe.successThreshold !== 1) {
    errors.push(invalid(`${at}.successThreshold`, probe.successThreshold ?? 0, "must be 1"));
  }
  return errors;
}

/** Probes and hooks: of containers that run as long as the pod does. */
export function validateLifecycle(container: Container, at: string): FieldError[] {
  const { postStart, preStop } = container.lifecycle ?? {};
  const errors = [
    ...(postStart ? validateHandler(postStart as Handler, `${at}.lifecycle.postStart`) : []),
    ...(preStop ? validateHandler(preStop as Handler, `${at}.lifecycle.preStop`) : []),
    ...validateProbe(container.livenessProbe, `${at}.livenessProbe`, true),
    ...validateProbe(container.readinessProbe, `${at}.readinessProbe`, false),
    ...validateProbe(container.startupProbe, `${at}.startupProbe`, true),
  ];
  if (container.readinessProbe?.terminationGracePeriodSeconds !== undefined) {
    const { terminationGracePeriodSeconds } = container.readinessProbe;
    errors.push(
      invalid(
        `${at}.readinessProbe.terminationGracePeriodSeconds`,
        terminationGracePeriodSeconds,
        "must not be set for readinessProbes",
      ),
    );
  }
  if (container.restartPolicy && !restartPolicies.includes(container.restartPolicy)) {
    errors.push(notSupported(`${at}.restartPolicy`, container.restartPolicy, restartPolicies));
  }
  return errors;
}

const forbiddenForInit = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const;

/** Init containers end before the others start, unless they are sidecars (`restartPolicy: Always`). */
export function validateInitContainer(container: Container, at: string, facts: PodFacts): FieldError[] {
  const errors = validateContainer(container, at, facts);
  if (container.restartPolicy === "Always") return [...errors, ...validateLifecycle(container, at)];
  for (const name of forbiddenForInit) {
    if (container[name] !== undefined) {
      errors.push(
        forbiddenField(`${at}.${name}`, "may not be set for init containers without restartPolicy=Always"),
      );
    }
  }
  return errors;
}

const forbiddenForEphemeral = [
  "lifecycle",
  "livenessProbe",
  "ports",
  "readinessProbe",
  "resizePolicy",
  "restartPolicy",
  "startupProbe",
] as const;

/** A container that somebody adds to look into a running pod: no ports, no probes, no resources of its own. */
export function validateEphemeralContainer(
  container: Readonly<corev1.EphemeralContainer>,
  at: string,
  facts: PodFacts,
): FieldError[] {
  const detail = "cannot be set for an Ephemeral Container";
  const errors = validateContainer({ ...container, ports: [] } as Container, at, facts);
  for (const name of forbiddenForEphemeral) {
    if (container[name] !== undefined) errors.push(forbiddenField(`${at}.${name}`, detail));
  }
  if (Object.keys(container.resources ?? {}).length > 0)
    errors.push(forbiddenField(`${at}.resources`, detail));
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    for (const name of ["subPath", "subPathExpr"] as const) {
      if (mount[name]) errors.push(forbiddenField(`${at}.volumeMounts[${i}].${name}`, detail));
    }
  }
  return errors;
}

function idErrors(id: number | undefined, field: string): FieldError[] {
  if (id === undefined || (id >= 0 && id <= idMax)) return [];
  return [invalid(field, id, `must be between 0 and ${idMax}, inclusive`)];
}

function validateSecurity(context: Readonly<corev1.SecurityContext> | undefined, at: string): FieldError[] {
  if (!context) return [];
  const errors = [
    ...idErrors(context.runAsUser, `${at}.runAsUser`),
    ...idErrors(context.runAsGroup, `${at}.runAsGroup`),
  ];
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged) {
      errors.push(
        invalid(at, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
      );
    }
    if (context.capabilities?.add?.some((c) => c === "CAP_SYS_ADMIN" || c === "SYS_ADMIN")) {
      errors.push(
        invalid(
          at,
          context,
          "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
        ),
      );
    }
  }
  if (context.procMount && context.procMount !== "Default" && context.procMount !== "Unmasked") {
    errors.push(notSupported(`${at}.procMount`, context.procMount, ["Default", "Unmasked"]));
  }
  return [...errors, ...validateSeccomp(context.seccompProfile, `${at}.seccompProfile`)];
}

const seccompTypes = ["Localhost", "RuntimeDefault", "Unconfined"];

function validateSeccomp(profile: Readonly<corev1.SeccompProfile> | undefined, at: string): FieldError[] {
  if (!profile) return [];
  if (!seccompTypes.includes(profile.type))
    return [notSupported(`${at}.type`, profile.type ?? "", seccompTypes)];
  const isLocal = profile.type === "Localhost";
  if (isLocal && !profile.localhostProfile)
    return [required(`${at}.localhostProfile`, "must be set when seccomp type is Localhost")];
  if (!isLocal && profile.localhostProfile) {
    return [invalid(`${at}.localhostProfile`, profile, "can only be set when seccomp type is Localhost")];
  }
  return [];
}

const sysctlPattern = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9]$/;

export function validatePodSecurity(
  context: Readonly<corev1.PodSecurityContext> | undefined,
  at: string,
): FieldError[] {
  if (!context) return [];
  const errors = [
    ...idErrors(context.fsGroup, `${at}.fsGroup`),
    ...idErrors(context.runAsUser, `${at}.runAsUser`),
    ...idErrors(context.runAsGroup, `${at}.runAsGroup`),
    ...(context.supplementalGroups ?? []).flatMap((id, i) => idErrors(id, `${at}.supplementalGroups[${i}]`)),
    ...validateSeccomp(context.seccompProfile, `${at}.seccompProfile`),
  ];
  const seen = new Set<string>();
  for (const [i, sysctl] of (context.sysctls ?? []).entries()) {
    const field = `${at}.sysctls[${i}].name`;
    if (!sysctl.name) errors.push(required(field));
    else if (sysctl.name.length > 253 || !sysctlPattern.test(sysctl.name)) {
      errors.push(
        invalid(
          field,
          sysctl.name,
          "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
        ),
      );
    } else if (seen.has(sysctl.name)) errors.push(duplicate(field, sysctl.name));
    seen.add(sysctl.name);
  }
  return errors;
}

export function validateReadinessGates(
  gates: readonly corev1.PodReadinessGate[],
  path: string,
): FieldError[] {
  return gates.flatMap((gate, i) =>
    qualifiedNameErrors(gate.conditionType ?? "").map((e) =>
      invalid(`${path}[${i}].conditionType`, gate.conditionType ?? "", e),
    ),
  );
}
