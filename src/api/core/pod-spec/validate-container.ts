/** Containers: of a pod, before it, and in it for a while. https://kubernetes.io/docs/concepts/containers/ */
import type { corev1 } from "../../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooMany,
} from "../../meta/field-error.ts";
import { invalidEach, requiredWith } from "../../validation/checks.ts";
import { dnsLabelErrors, portErrors, portNameErrors } from "../../validation/names.ts";
import { validateEnv, validateEnvFrom } from "./validate-env.ts";
import { validateLifecycle } from "./validate-handlers.ts";
import { type Volumes, validateDevices, validateMounts } from "./validate-mounts.ts";
import { validateResources } from "./validate-resources.ts";
import { validateSecurity } from "./validate-security.ts";

type Container = Readonly<corev1.Container>;

const protocols = ["SCTP", "TCP", "UDP"];
const pullPolicies = ["Always", "IfNotPresent", "Never"];
const messagePolicies = ["File", "FallbackToLogsOnError"];
const restartPolicies = ["Always", "Never", "OnFailure"];
const resizable = ["cpu", "memory"];
const resizePolicies = ["NotRequired", "RestartContainer"];
const exitOperators = ["In", "NotIn"];
const rulesMax = 20;
const exitCodesMax = 255;
const portsMax = 1000;

/** What the checks of one container must know of the pod. */
export interface PodFacts {
  volumes: Volumes;
  claims: ReadonlySet<string>;
  restartPolicy: string | undefined;
  hostUsers: boolean;
  graceSeconds: number;
  /** A pod, not a template of one: what is given is what runs. */
  isPod: boolean;
}

function oneOfRequired(value: string | undefined, field: string, supported: readonly string[]): FieldError[] {
  if (!value) return [required(field)];
  return supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

/** What all containers have in common. */
function validateCommon(container: Container, at: string, facts: PodFacts): FieldError[] {
  const { image = "" } = container;
  const errors = requiredWith(container.name, `${at}.name`, dnsLabelErrors);
  if (image === "") errors.push(required(`${at}.image`));
  else if (facts.isPod && image.trim() !== image)
    errors.push(invalid(`${at}.image`, image, "must not have leading or trailing whitespace"));
  return [
    ...errors,
    ...oneOfRequired(container.terminationMessagePolicy, `${at}.terminationMessagePolicy`, messagePolicies),
    ...validatePorts(container.ports ?? [], `${at}.ports`),
    ...validateEnv(container.env ?? [], `${at}.env`, facts.volumes),
    ...validateEnvFrom(container.envFrom ?? [], `${at}.envFrom`),
    ...validateMounts(container, facts.volumes, `${at}.volumeMounts`),
    ...validateDevices(container, facts.volumes, `${at}.volumeDevices`),
    ...oneOfRequired(container.imagePullPolicy, `${at}.imagePullPolicy`, pullPolicies),
    ...validateResources(container.resources, `${at}.resources`, facts.claims),
    ...validateResizePolicies(container, `${at}.resizePolicy`, facts.restartPolicy),
    ...validateSecurity(container.securityContext, `${at}.securityContext`, facts.hostUsers),
  ];
}

function validatePorts(ports: readonly corev1.ContainerPort[], path: string): FieldError[] {
  if (ports.length > portsMax) return [tooMany(path, ports.length, portsMax)];
  const names = new Set<string>();
  return ports.flatMap((port, i) => {
    const at = `${path}[${i}]`;
    const { name, containerPort, hostPort, protocol } = port;
    const errors: FieldError[] = [];
    if (name) {
      const wrong = invalidEach(`${at}.name`, name, portNameErrors(name));
      if (wrong.length === 0 && names.has(name)) wrong.push(duplicate(`${at}.name`, name));
      names.add(name);
      errors.push(...wrong);
    }
    if (!containerPort) errors.push(required(`${at}.containerPort`));
    else errors.push(...invalidEach(`${at}.containerPort`, containerPort, portErrors(containerPort)));
    if (hostPort) errors.push(...invalidEach(`${at}.hostPort`, hostPort, portErrors(hostPort)));
    return [...errors, ...oneOfRequired(protocol, `${at}.protocol`, protocols)];
  });
}

/** Two containers of one pod cannot hold the same port of the node. */
export function validateHostPorts(containers: readonly Container[], path: string): FieldError[] {
  const seen = new Set<string>();
  return containers.flatMap((container, i) =>
    (container.ports ?? []).flatMap((port, j) => {
      if (!port.hostPort) return [];
      const identity = `${port.protocol}/${port.hostIP ?? ""}/${port.hostPort}`;
      if (seen.has(identity)) return [duplicate(`${path}[${i}].ports[${j}].hostPort`, identity)];
      seen.add(identity);
      return [];
    }),
  );
}

function validateResizePolicies(
  container: Container,
  path: string,
  podPolicy: string | undefined,
): FieldError[] {
  const seen = new Set<string>();
  return (container.resizePolicy ?? []).flatMap(({ resourceName, restartPolicy }, i) => {
    const errors: FieldError[] = [];
    if (seen.has(resourceName)) errors.push(duplicate(`${path}[${i}]`, resourceName));
    seen.add(resourceName);
    errors.push(...oneOfRequired(resourceName, path, resizable));
    errors.push(...oneOfRequired(restartPolicy, path, resizePolicies));
    if (podPolicy === "Never" && restartPolicy !== "NotRequired") {
      const detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
      errors.push(invalid(path, restartPolicy ?? "", detail));
    }
    return errors;
  });
}

/** https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restart-rules */
function validateRestart(container: Container, at: string): FieldError[] {
  const { restartPolicy, restartPolicyRules: rules = [] } = container;
  const errors: FieldError[] = [];
  if (restartPolicy === undefined) {
    if (rules.length === 0) return [];
    const detail = "must specify restartPolicy when restart rules are used";
    return [required(`${at}.restartPolicy`, detail)];
  }
  if (!restartPolicies.includes(restartPolicy))
    errors.push(notSupported(`${at}.restartPolicy`, restartPolicy, restartPolicies));
  const path = `${at}.restartPolicyRules`;
  if (rules.length > rulesMax) return [...errors, tooMany(path, rules.length, rulesMax)];
  return [...errors, ...rules.flatMap((rule, i) => validateRestartRule(rule, `${path}[${i}]`))];
}

const restartActions = ["Restart", "RestartAllContainers"];

function validateRestartRule(rule: Readonly<corev1.ContainerRestartRule>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!restartActions.includes(rule.action))
    errors.push(notSupported(`${at}.action`, rule.action ?? "", restartActions));
  const codes = rule.exitCodes;
  if (!codes) return [...errors, required(`${at}.exitCodes`, "must be specified")];
  if (!exitOperators.includes(codes.operator))
    errors.push(notSupported(`${at}.exitCodes.operator`, codes.operator ?? "", exitOperators));
  const count = codes.values?.length ?? 0;
  if (count > exitCodesMax) errors.push(tooMany(`${at}.exitCodes.values`, count, exitCodesMax));
  return errors;
}

export function validateContainer(container: Container, at: string, facts: PodFacts): FieldError[] {
  return [
    ...validateCommon(container, at, facts),
    ...validateLifecycle(container, at, facts.graceSeconds),
    ...validateRestart(container, at),
  ];
}

const forbiddenForInit = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const;

/** Init containers end before the others start, unless they are sidecars (`restartPolicy: Always`). */
export function validateInitContainer(container: Container, at: string, facts: PodFacts): FieldError[] {
  const errors = [...validateCommon(container, at, facts), ...validateRestart(container, at)];
  if (container.restartPolicy === "Always")
    return [...errors, ...validateLifecycle(container, at, facts.graceSeconds)];
  for (const name of forbiddenForInit) {
    if (container[name] === undefined) continue;
    const detail = "may not be set for init containers without restartPolicy=Always";
    errors.push(forbiddenField(`${at}.${name}`, detail));
  }
  const { resizePolicy } = container;
  if (resizePolicy?.length)
    errors.push(invalid(`${at}.resizePolicy`, resizePolicy, "must not be set for init containers"));
  return errors;
}

const forbiddenForEphemeral = [
  "lifecycle",
  "livenessProbe",
  "ports",
  "readinessProbe",
  "resizePolicy",
  "restartPolicy",
  "restartPolicyRules",
  "startupProbe",
] as const;

/** A container that somebody adds to look into a running pod: no ports, no probes, no resources of its own. */
export function validateEphemeralContainer(
  container: Readonly<corev1.EphemeralContainer>,
  at: string,
  facts: PodFacts,
): FieldError[] {
  const detail = "cannot be set for an Ephemeral Container";
  const errors = validateCommon(container as Container, at, { ...facts, isPod: true });
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
