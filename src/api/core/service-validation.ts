/** https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go (ValidateService) */
import { isIP } from "node:net";
import type { corev1 } from "../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../meta/field-error.ts";
import { specialAddressErrors } from "../validation/addresses.ts";
import { invalidEach } from "../validation/checks.ts";
import {
  dnsLabelErrors,
  dnsSubdomainErrors,
  portErrors,
  portNameErrors,
  validateLabels,
} from "../validation/names.ts";
import { validateAddressChange, validateClusterAddresses } from "./service-addresses.ts";
import { validateLoadBalancing } from "./service-load-balancer.ts";

const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const protocols = ["SCTP", "TCP", "UDP"];
const affinities = ["ClientIP", "None"];
const policies = ["Cluster", "Local"];
const affinitySecondsMax = 86_400;
const portsMax = 1000;
const addressMessage = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

type Service = Readonly<corev1.Service>;

function validatePort(
  port: Readonly<corev1.ServicePort>,
  at: string,
  isHeadless: boolean,
  isNamed: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  if (!port.name) {
    if (isNamed) errors.push(required(`${at}.name`));
  } else for (const e of dnsLabelErrors(port.name)) errors.push(invalid(`${at}.name`, port.name, e));
  for (const e of portErrors(port.port ?? 0)) errors.push(invalid(`${at}.port`, port.port ?? 0, e));
  if (!port.protocol) errors.push(required(`${at}.protocol`));
  else if (!protocols.includes(port.protocol))
    errors.push(notSupported(`${at}.protocol`, port.protocol, protocols));
  const target = port.targetPort;
  if (typeof target === "number")
    for (const e of portErrors(target)) errors.push(invalid(`${at}.targetPort`, target, e));
  if (typeof target === "string")
    for (const e of portNameErrors(target)) errors.push(invalid(`${at}.targetPort`, target, e));
  if (isHeadless && target !== undefined && typeof target === "string" && target === "") {
    errors.push(invalid(`${at}.targetPort`, target, "must be a port"));
  }
  return errors;
}

function validatePorts(service: Service): FieldError[] {
  const errors: FieldError[] = [];
  const { spec } = service;
  const ports = spec.ports ?? [];
  const isHeadless = spec.clusterIP === "None";
  if (ports.length === 0 && !isHeadless && spec.type !== "ExternalName") errors.push(required("spec.ports"));
  if (ports.length > portsMax)
    errors.push({
      type: "FieldValueTooMany",
      field: "spec.ports",
      message: `Too many: ${ports.length}: must have at most ${portsMax} items`,
    });
  const names = new Set<string>();
  const numbers = new Set<string>();
  const nodePorts = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const at = `spec.ports[${i}]`;
    errors.push(...validatePort(port, at, isHeadless, ports.length > 1));
    if (port.name && names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
    names.add(port.name ?? "");
    const number = `${port.protocol}/${port.port}`;
    if (numbers.has(number)) errors.push(duplicate(at, { port: port.port, protocol: port.protocol }));
    numbers.add(number);
    if (!port.nodePort) continue;
    const nodePort = `${port.protocol}/${port.nodePort}`;
    if (spec.type === "ClusterIP") {
      errors.push(forbiddenField(`${at}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
    } else if (spec.type === "ExternalName") {
      errors.push(forbiddenField(`${at}.nodePort`, "may not be used when `type` is 'ExternalName'"));
    } else if (nodePorts.has(nodePort)) errors.push(duplicate(`${at}.nodePort`, port.nodePort));
    nodePorts.add(nodePort);
  }
  return errors;
}

function validateType(service: Service): FieldError[] {
  const errors: FieldError[] = [];
  const { spec } = service;
  if (!spec.type) errors.push(required("spec.type"));
  else if (!types.includes(spec.type)) errors.push(notSupported("spec.type", spec.type, types));
  if (spec.type === "LoadBalancer" && spec.clusterIP === "None") {
    errors.push(
      invalid("spec.clusterIPs[0]", spec.clusterIP, "may not be set to 'None' for LoadBalancer services"),
    );
  }
  if (spec.type === "NodePort" && spec.clusterIP === "None") {
    errors.push(
      invalid("spec.clusterIPs[0]", spec.clusterIP, "may not be set to 'None' for NodePort services"),
    );
  }
  if (spec.type === "ExternalName") {
    const name = (spec.externalName ?? "").replace(/\.$/, "");
    if (!name) errors.push(required("spec.externalName"));
    else
      for (const e of dnsSubdomainErrors(name))
        errors.push(invalid("spec.externalName", spec.externalName, e));
  }
  return errors;
}

function validateAffinity(spec: Readonly<corev1.ServiceSpec>): FieldError[] {
  if (!spec.sessionAffinity) return [required("spec.sessionAffinity")];
  if (!affinities.includes(spec.sessionAffinity)) {
    return [notSupported("spec.sessionAffinity", spec.sessionAffinity, affinities)];
  }
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (spec.sessionAffinity !== "ClientIP" || seconds === undefined) return [];
  if (seconds > 0 && seconds <= affinitySecondsMax) return [];
  return [
    invalid(
      "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
      seconds,
      `must be greater than 0 and less than ${affinitySecondsMax}`,
    ),
  ];
}

function validateExternalIps({ externalIPs = [] }: Readonly<corev1.ServiceSpec>): FieldError[] {
  return externalIPs.flatMap((ip, i) => {
    const wrong = isIP(ip) === 0 ? [addressMessage] : specialAddressErrors(ip);
    return invalidEach(`spec.externalIPs[${i}]`, ip, wrong);
  });
}

export function validateService(service: Service, old?: Service): FieldError[] {
  const { spec } = service;
  const errors = [
    ...validatePorts(service),
    ...validateType(service),
    ...validateLabels(spec.selector, "spec.selector"),
    ...validateAffinity(spec),
    ...validateClusterAddresses(service, old),
    ...validateExternalIps(spec),
    ...validateLoadBalancing(service, old),
  ];
  const isExposed = spec.type === "NodePort" || spec.type === "LoadBalancer";
  const external = spec.externalTrafficPolicy;
  if (external && !isExposed && !spec.externalIPs?.length) {
    errors.push(
      invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"),
    );
  } else if (external && !policies.includes(external)) {
    errors.push(notSupported("spec.externalTrafficPolicy", external, policies));
  }
  const internal = spec.internalTrafficPolicy;
  if (internal && !policies.includes(internal)) {
    errors.push(notSupported("spec.internalTrafficPolicy", internal, policies));
  }
  return errors;
}

export function validateServiceUpdate(service: Service, old: Service): FieldError[] {
  return [...validateService(service, old), ...validateAddressChange(service, old)];
}
