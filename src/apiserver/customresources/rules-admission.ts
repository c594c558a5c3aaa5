/** Definitions whose rules are no expressions, or may cost too much, are refused: the rest of them is checked before. */
import {
  type apiextensionsv1,
  customResourceDefinitions,
  type FieldError,
  invalid,
  invalidObject,
  type ResourceDefinition,
  sameJson,
} from "#api";
import type { AdmissionStep } from "../admission/admission.ts";
import { compileRules } from "./rules.ts";

type Definition = Readonly<apiextensionsv1.CustomResourceDefinition>;

export const celRules: AdmissionStep = {
  name: "CustomResourceRules",
  validate({ definition, object, old, subresource }) {
    if (definition !== (customResourceDefinitions as ResourceDefinition) || !object || subresource) return;
    const { spec, metadata } = object as Definition;
    if (old && sameJson((old as Definition).spec.versions, spec.versions)) return;
    const errors = spec.versions.flatMap((version, i) => errorsOf(spec, version, i));
    if (errors.length > 0) throw invalidObject(definition, metadata.name, errors);
  },
};

function errorsOf(
  { versions }: Definition["spec"],
  { schema }: Definition["spec"]["versions"][number],
  i: number,
): FieldError[] {
  const isCommon = versions.every((each) => sameJson(each.schema, schema));
  if (!schema?.openAPIV3Schema || (isCommon && i > 0)) return [];
  const at = `${isCommon ? "spec.validation" : `spec.versions[${i}].schema`}.openAPIV3Schema`;
  return compileRules(schema.openAPIV3Schema).problems.map(({ path, field, rule, why }) =>
    invalid(`${at}${path}.${field}`, field === "optionalOldSelf" ? rule.optionalOldSelf : rule, why),
  );
}
