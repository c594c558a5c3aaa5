/**
 * What the facts leave out of the aggregator's types, which stand in a module of their own: which of them are kinds, and
 * their numbers in protobuf.
 * https://github.com/kubernetes/kube-aggregator/blob/master/pkg/apis/apiregistration/v1/generated.proto
 */
import type { SpecType } from "./types.ts";

const group = "apiregistration.k8s.io";
const version = "v1";
const prefix = `io.k8s.kube-aggregator.pkg.apis.apiregistration.${version}.`;

/** Fields in the order of their numbers; a blank is a number that is not used any more. */
const numbered: Readonly<Record<string, string>> = {
  APIService: "metadata spec status",
  APIServiceCondition: "type status lastTransitionTime reason message",
  APIServiceList: "metadata items",
  APIServiceSpec:
    "service group version insecureSkipTLSVerify caBundle _ groupPriorityMinimum versionPriority",
  APIServiceStatus: "conditions",
  ServiceReference: "namespace name port",
};

export function completeAggregator(types: Record<string, SpecType>): void {
  for (const [kind, names] of Object.entries(numbered)) {
    const type = types[prefix + kind];
    if (!type) throw new Error(`the facts have no ${prefix}${kind}`);
    for (const [i, name] of names.split(" ").entries()) {
      const field = type.fields?.[name];
      if (field) field.tag = i + 1;
    }
    if (kind !== "APIService" && kind !== "APIServiceList") continue;
    type.gvk = [{ group, version, kind }];
    delete type.fields?.apiVersion;
    delete type.fields?.kind;
  }
}
