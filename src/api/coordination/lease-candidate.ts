/** LeaseCandidate: who would take over a lease. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-candidate-v1beta1/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { coordinationv1beta1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { configKeyErrors } from "../validation/names.ts";
import { compareVersions, parseSemver, zeroVersion } from "../validation/semver.ts";
import { oldestEmulationVersion, validateLeaseStrategy } from "./strategy-names.ts";

type Candidate = Readonly<coordinationv1beta1.LeaseCandidate>;

function validateCandidate({ spec = {} as Candidate["spec"] }: Candidate): FieldError[] {
  const { leaseName = "", binaryVersion = "", emulationVersion = "", strategy = "" } = spec;
  const errors: FieldError[] = [];
  const fault = (field: string, value: string, detail: string) =>
    errors.push(invalid(`spec.${field}`, value, detail));
  const emulated = parseSemver(emulationVersion);
  const binary = parseSemver(binaryVersion);
  if (leaseName === "") errors.push(required("spec.leaseName"));
  if (emulationVersion !== "" && !emulated)
    fault("emulationVersion", emulationVersion, "must be a valid semantic version");
  if (binaryVersion === "") errors.push(required("spec.binaryVersion"));
  else if (!binary) fault("binaryVersion", binaryVersion, "must be a valid semantic version");
  if (binaryVersion !== "" && compareVersions(binary ?? zeroVersion, emulated ?? zeroVersion) < 0)
    fault("binaryVersion", binaryVersion, "must be greater than or equal to `emulationVersion`");
  if (strategy === "") return [...errors, required("spec.strategy")];
  if (strategy === oldestEmulationVersion && compareVersions(emulated ?? zeroVersion, zeroVersion) === 0) {
    const why = "must be specified when `strategy` is 'OldestEmulationVersion'";
    errors.push(required("spec.emulationVersion", why));
  }
  return [...errors, ...validateLeaseStrategy(strategy)];
}

export const leaseCandidates = defineResource<coordinationv1beta1.LeaseCandidate>({
  group: "coordination.k8s.io",
  version: "v1beta1",
  resource: "leasecandidates",
  kind: "LeaseCandidate",
  typeName: "io.k8s.api.coordination.v1beta1.LeaseCandidate",
  namespaced: true,
  deprecation: "coordination.k8s.io/v1beta1 LeaseCandidate is deprecated in v1.36+, unavailable in v1.39+",
  validateName: (name) => configKeyErrors(name),
  defaults(candidate) {
    candidate.spec ??= { leaseName: "", binaryVersion: "", strategy: "" };
  },
  validate: validateCandidate,
  validateUpdate: (candidate, old) => [
    ...validateCandidate(candidate),
    ...immutable(candidate.spec.leaseName, old.spec.leaseName, "spec.leaseName"),
  ],
  selectableFields: { "spec.leaseName": (candidate) => candidate.spec.leaseName ?? "" },
  columns: [
    nameColumn(),
    column("LeaseName", "string", "The lease that it is a candidate for.", (c) => c.spec?.leaseName ?? ""),
    column("BinaryVersion", "string", "The version of the binary.", (c) => c.spec?.binaryVersion ?? ""),
    column(
      "EmulationVersion",
      "string",
      "The version that the binary behaves like.",
      (c) => c.spec?.emulationVersion ?? "",
    ),
    ageColumn(),
  ],
});

export const leaseCandidatesV1alpha2 = defineVersion(leaseCandidates, {
  version: "v1alpha2",
  typeName: "io.k8s.api.coordination.v1alpha2.LeaseCandidate",
  deprecation: "coordination.k8s.io/v1alpha2 LeaseCandidate is deprecated in v1.35+",
});
