/** IngressClass. https://kubernetes.io/docs/reference/kubernetes-api/service-resources/ingress-class-v1/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { networkingv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import {
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooLong,
} from "../meta/field-error.ts";
import { dnsLabelErrors, dnsSubdomainErrors, pathSegmentErrors } from "../validation/names.ts";
import { domainPrefixedPathErrors } from "../validation/special-names.ts";

type IngressClass = Readonly<networkingv1.IngressClass>;
type Parameters = Readonly<networkingv1.IngressClassParametersReference>;

const controllerMaxLength = 250;
const scopes = ["Cluster", "Namespace"];

function validateScope({ scope, namespace }: Parameters, at: string): FieldError[] {
  if (scope === undefined) return [required(`${at}.scope`)];
  if (!scopes.includes(scope)) return [notSupported(`${at}.scope`, scope, scopes)];
  if (scope === "Cluster") {
    if (namespace === undefined) return [];
    return [forbiddenField(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'")];
  }
  if (namespace === undefined)
    return [required(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'")];
  return dnsLabelErrors(namespace).map((e) => invalid(`${at}.namespace`, namespace, e));
}

function validateParameters(parameters: Parameters, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const { apiGroup } = parameters;
  if (apiGroup !== undefined)
    for (const e of dnsSubdomainErrors(apiGroup)) errors.push(invalid(`${at}.apiGroup`, apiGroup, e));
  for (const key of ["kind", "name"] as const) {
    const value = parameters[key];
    if (!value) errors.push(required(`${at}.${key}`));
    else for (const e of pathSegmentErrors(value)) errors.push(invalid(`${at}.${key}`, value, e));
  }
  return [...errors, ...validateScope(parameters, at)];
}

function validateIngressClass({ spec = {} }: IngressClass): FieldError[] {
  const errors: FieldError[] = [];
  const { controller = "", parameters } = spec;
  if (controller === "") errors.push(required("spec.controller"));
  else {
    if (controller.length > controllerMaxLength) errors.push(tooLong("spec.controller", controllerMaxLength));
    errors.push(...domainPrefixedPathErrors("spec.controller", controller));
  }
  if (parameters) errors.push(...validateParameters(parameters, "spec.parameters"));
  return errors;
}

function parametersText({ spec }: IngressClass): string {
  const parameters = spec?.parameters;
  if (!parameters) return "<none>";
  const kind =
    parameters.apiGroup === undefined ? parameters.kind : `${parameters.kind}.${parameters.apiGroup}`;
  return `${kind}/${parameters.name}`;
}

export const ingressClasses = defineResource<networkingv1.IngressClass>({
  group: "networking.k8s.io",
  version: "v1",
  resource: "ingressclasses",
  kind: "IngressClass",
  typeName: "io.k8s.api.networking.v1.IngressClass",
  namespaced: false,
  hasGeneration: true,
  defaults(ingressClass) {
    ingressClass.spec ??= {};
    if (ingressClass.spec.parameters) ingressClass.spec.parameters.scope ??= "Cluster";
  },
  validate: validateIngressClass,
  validateUpdate: (ingressClass, old) => [
    ...immutable(ingressClass.spec?.controller, old.spec?.controller, "spec.controller"),
    ...validateIngressClass(ingressClass),
  ],
  columns: [
    nameColumn(),
    column(
      "Controller",
      "string",
      "Controller that is responsible for handling this class",
      (c) => c.spec?.controller ?? "",
    ),
    column("Parameters", "string", "A reference to a resource with additional parameters", parametersText),
    ageColumn(),
  ],
});
