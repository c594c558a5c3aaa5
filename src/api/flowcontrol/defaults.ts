/**
 * The flow schemas and priority levels that every cluster has: two of each that must be as they are, and suggestions.
 * https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#defaults
 */
import type { flowcontrolv1 } from "../generated/types/index.ts";

type PriorityLevelSpec = flowcontrolv1.PriorityLevelConfigurationSpec;
type FlowSchemaSpec = flowcontrolv1.FlowSchemaSpec;
type Rules = flowcontrolv1.PolicyRulesWithSubjects;

export interface Named<Spec> {
  readonly name: string;
  readonly spec: Spec;
}

/** Whoever changes such an object takes it over by changing this. */
export const autoUpdateAnnotation = "apf.kubernetes.io/autoupdate-spec";

function queued(
  name: string,
  shares: number,
  lendablePercent: number,
  queues = 128,
  handSize = 6,
): Named<PriorityLevelSpec> {
  const limitResponse = { type: "Queue", queuing: { queues, handSize, queueLengthLimit: 50 } };
  const limited = { nominalConcurrencyShares: shares, lendablePercent, limitResponse };
  return { name, spec: { type: "Limited", limited } };
}

export const mandatoryPriorityLevels: readonly Named<PriorityLevelSpec>[] = [
  { name: "exempt", spec: { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } } },
  {
    name: "catch-all",
    spec: {
      type: "Limited",
      limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: "Reject" } },
    },
  },
];

export const suggestedPriorityLevels: readonly Named<PriorityLevelSpec>[] = [
  queued("system", 30, 33, 64),
  queued("node-high", 40, 25, 64),
  queued("leader-election", 10, 0, 16, 4),
  queued("workload-high", 40, 50),
  queued("workload-low", 100, 90),
  queued("global-default", 20, 50),
];

type Subject = flowcontrolv1.Subject;
const group = (name: string): Subject => ({ kind: "Group", group: { name } });
const user = (name: string): Subject => ({ kind: "User", user: { name } });
const systemAccount = (name: string): Subject => ({
  kind: "ServiceAccount",
  serviceAccount: { name, namespace: "kube-system" },
});
const everybody = [group("system:unauthenticated"), group("system:authenticated")];
const controllerManager = user("system:kube-controller-manager");
const scheduler = user("system:kube-scheduler");
const nodes = group("system:nodes");

function resources(
  verbs: string[],
  apiGroup: string,
  names: string[],
  namespaces: string[] = ["*"],
  clusterScope = false,
): flowcontrolv1.ResourcePolicyRule {
  const rule = { verbs, apiGroups: [apiGroup], resources: names, namespaces };
  return clusterScope ? { ...rule, clusterScope } : rule;
}

const everything = {
  resourceRules: [resources(["*"], "*", ["*"], ["*"], true)],
  nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
};
const electionVerbs = ["get", "create", "update"];
function flow(
  name: string,
  priorityLevel: string,
  matchingPrecedence: number,
  distinguishedBy: "ByUser" | "ByNamespace" | undefined,
  rules: Rules,
): Named<FlowSchemaSpec> {
  return {
    name,
    spec: {
      priorityLevelConfiguration: { name: priorityLevel },
      matchingPrecedence,
      ...(distinguishedBy ? { distinguisherMethod: { type: distinguishedBy } } : {}),
      rules: [rules],
    },
  };
}

export const mandatoryFlowSchemas: readonly Named<FlowSchemaSpec>[] = [
  flow("exempt", "exempt", 1, undefined, { subjects: [group("system:masters")], ...everything }),
  flow("catch-all", "catch-all", 10_000, "ByUser", { subjects: everybody, ...everything }),
];

export const suggestedFlowSchemas: readonly Named<FlowSchemaSpec>[] = [
  flow("system-nodes", "system", 500, "ByUser", { subjects: [nodes], ...everything }),
  flow("system-node-high", "node-high", 400, "ByUser", {
    subjects: [nodes],
    resourceRules: [
      resources(["*"], "", ["nodes", "nodes/status"], ["*"], true),
      resources(["*"], "coordination.k8s.io", ["leases"]),
    ],
  }),
  flow("probes", "exempt", 2, undefined, {
    subjects: everybody,
    nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/readyz", "/livez"] }],
  }),
  flow("system-leader-election", "leader-election", 100, "ByUser", {
    subjects: [controllerManager, scheduler, systemAccount("*")],
    resourceRules: [resources(electionVerbs, "coordination.k8s.io", ["leases"])],
  }),
  flow("endpoint-controller", "workload-high", 150, "ByUser", {
    subjects: [
      controllerManager,
      systemAccount("endpoint-controller"),
      systemAccount("endpointslicemirroring-controller"),
    ],
    resourceRules: [resources(electionVerbs, "", ["endpoints"])],
  }),
  flow("workload-leader-election", "leader-election", 200, "ByUser", {
    subjects: [systemAccount("*")],
    resourceRules: [
      resources(electionVerbs, "", ["endpoints", "configmaps"]),
      resources(electionVerbs, "coordination.k8s.io", ["leases"]),
    ],
  }),
  flow("kube-controller-manager", "workload-high", 800, "ByNamespace", {
    subjects: [controllerManager],
    ...everything,
  }),
  flow("kube-scheduler", "workload-high", 800, "ByNamespace", { subjects: [scheduler], ...everything }),
  flow("kube-system-service-accounts", "workload-high", 900, "ByNamespace", {
    subjects: [systemAccount("*")],
    ...everything,
  }),
  flow("service-accounts", "workload-low", 9000, "ByUser", {
    subjects: [group("system:serviceaccounts")],
    ...everything,
  }),
  flow("global-default", "global-default", 9900, "ByUser", { subjects: everybody, ...everything }),
];
