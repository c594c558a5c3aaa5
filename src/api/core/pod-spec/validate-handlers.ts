/** Probes and hooks. https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../../meta/field-error.ts";
import { invalidEach } from "../../validation/checks.ts";
import { portErrors, portNameErrors } from "../../validation/names.ts";
import { nonNegative } from "../../validation/numbers.ts";

const schemes = ["HTTP", "HTTPS"];
const headerPattern = /^[-A-Za-z0-9]+$/;
const headerRule =
  "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";

type Container = Readonly<corev1.Container>;
type Handler = Readonly<corev1.Probe & corev1.LifecycleHandler>;

function portOrNameErrors(port: number | string | undefined, field: string): FieldError[] {
  const value = port ?? 0;
  return invalidEach(field, value, typeof value === "number" ? portErrors(value) : portNameErrors(value));
}

type Check = (handler: Handler, at: string, graceSeconds: number) => FieldError[];

const checks: Readonly<Record<"exec" | "httpGet" | "tcpSocket" | "grpc" | "sleep", Check>> = {
  exec: ({ exec }, at) => (exec!.command?.length ? [] : [required(`${at}.command`)]),
  httpGet: ({ httpGet }, at) => [
    ...(httpGet!.path ? [] : [required(`${at}.path`)]),
    ...portOrNameErrors(httpGet!.port, `${at}.port`),
    ...(schemes.includes(httpGet!.scheme ?? "")
      ? []
      : [notSupported(`${at}.scheme`, httpGet!.scheme ?? "", schemes)]),
    ...(httpGet!.httpHeaders ?? [])
      .filter(({ name }) => !headerPattern.test(name ?? ""))
      .map(({ name }) => invalid(`${at}.httpHeaders`, name ?? "", headerRule)),
  ],
  tcpSocket: ({ tcpSocket }, at) => portOrNameErrors(tcpSocket!.port, `${at}.port`),
  grpc: ({ grpc }, at) => portOrNameErrors(grpc!.port, `${at}.port`),
  sleep({ sleep }, at, graceSeconds) {
    const seconds = sleep!.seconds ?? 0;
    if (seconds >= 0 && seconds <= graceSeconds) return [];
    const detail = `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`;
    return [invalid(at, seconds, detail)];
  },
};

function validateHandler(handler: Handler, at: string, graceSeconds: number): FieldError[] {
  const kinds = (Object.keys(checks) as (keyof typeof checks)[]).filter((k) => handler[k] !== undefined);
  const [first, ...others] = kinds;
  if (first === undefined) return [required(at, "must specify a handler type")];
  return [
    ...checks[first](handler, `${at}.${first}`, graceSeconds),
    ...others.map((kind) => forbiddenField(`${at}.${kind}`, "may not specify more than 1 handler type")),
  ];
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
  graceSeconds: number,
): FieldError[] {
  if (!probe) return [];
  const errors = validateHandler(probe as Handler, at, graceSeconds);
  for (const name of probeNumbers) errors.push(...nonNegative(probe[name], `${at}.${name}`));
  const seconds = probe.terminationGracePeriodSeconds;
  if (seconds !== undefined && seconds <= 0)
    errors.push(invalid(`${at}.terminationGracePeriodSeconds`, seconds, "must be greater than 0"));
  return errors;
}

/** Of probes whose one success says it all. */
function onlyOneSuccess(probe: Readonly<corev1.Probe> | undefined, at: string): FieldError[] {
  if (!probe || probe.successThreshold === 1) return [];
  return [invalid(`${at}.successThreshold`, probe.successThreshold ?? 0, "must be 1")];
}

/** Probes and hooks: of containers that run as long as the pod does. */
export function validateLifecycle(container: Container, at: string, graceSeconds: number): FieldError[] {
  const { livenessProbe, readinessProbe, startupProbe } = container;
  const { postStart, preStop } = container.lifecycle ?? {};
  const errors = [
    ...(postStart ? validateHandler(postStart as Handler, `${at}.lifecycle.postStart`, graceSeconds) : []),
    ...(preStop ? validateHandler(preStop as Handler, `${at}.lifecycle.preStop`, graceSeconds) : []),
    ...validateProbe(livenessProbe, `${at}.livenessProbe`, graceSeconds),
    ...onlyOneSuccess(livenessProbe, `${at}.livenessProbe`),
    ...validateProbe(readinessProbe, `${at}.readinessProbe`, graceSeconds),
  ];
  const seconds = readinessProbe?.terminationGracePeriodSeconds;
  if (seconds !== undefined) {
    const field = `${at}.readinessProbe.terminationGracePeriodSeconds`;
    errors.push(invalid(field, seconds, "must not be set for readinessProbes"));
  }
  return [
    ...errors,
    ...validateProbe(startupProbe, `${at}.startupProbe`, graceSeconds),
    ...onlyOneSuccess(startupProbe, `${at}.startupProbe`),
  ];
}
