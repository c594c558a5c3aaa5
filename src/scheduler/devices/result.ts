/** What a claim's status tells of the devices it was given. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-claim-v1/#ResourceClaimStatus */
import { type corev1, formatQuantity, type resourcev1 } from "#api";
import type { Random } from "#base";
import type { Claim } from "./claims.ts";
import type { Alternative } from "./requests.ts";
import type { Given, Solution } from "./search.ts";

type Config = resourcev1.DeviceAllocationConfiguration;
type Term = corev1.NodeSelectorTerm;

export function allocationOf(
  { claim, given, chosen }: Solution,
  nodeName: string,
  random: Random,
): resourcev1.AllocationResult {
  const config = [...classConfig(chosen), ...claimConfig(claim, chosen)];
  const requests = claim.spec.devices?.requests?.length ?? 0;
  // What concerns all requests is said of none.
  for (const each of config) if (each.requests?.length === requests) delete each.requests;
  const nodeSelector = nodeSelectorOf(given, nodeName);
  return {
    devices: {
      results: given.map((each) => resultOf(each, random)),
      ...(config.length > 0 ? { config } : {}),
    },
    ...(nodeSelector ? { nodeSelector } : {}),
  };
}

function resultOf({ alternative, candidate, consumed }: Given, random: Random) {
  const { wanted, name: request } = alternative;
  const { driver, pool, device } = candidate;
  const { bindingConditions, bindingFailureConditions } = device;
  const consumedCapacity = [...(consumed ?? [])].map(([name, amount]) => [name, formatQuantity(amount)]);
  return {
    request,
    driver,
    pool: pool.name,
    device: device.name,
    ...(wanted.adminAccess ? { adminAccess: true } : {}),
    ...(wanted.tolerations?.length ? { tolerations: [...wanted.tolerations] } : {}),
    ...(bindingConditions?.length ? { bindingConditions } : {}),
    ...(bindingFailureConditions?.length ? { bindingFailureConditions } : {}),
    ...(consumed ? { shareID: random.uuid() } : {}),
    ...(consumedCapacity.length > 0 ? { consumedCapacity: Object.fromEntries(consumedCapacity) } : {}),
  } satisfies resourcev1.DeviceRequestAllocationResult;
}

/** That of each class once, for all requests that chose it. */
function classConfig(chosen: readonly Alternative[]): Config[] {
  const requestsOf = new Map<string, { config: Alternative["deviceClass"]; requests: string[] }>();
  for (const { deviceClass, name } of chosen) {
    const entry = requestsOf.get(deviceClass.metadata.name) ?? { config: deviceClass, requests: [] };
    entry.requests.push(name);
    requestsOf.set(deviceClass.metadata.name, entry);
  }
  return [...requestsOf.values()].flatMap(({ config, requests }) =>
    (config.spec.config ?? []).map((each) => ({
      ...each,
      source: "FromClass" as const,
      requests: [...requests],
    })),
  );
}

function claimConfig({ spec }: Claim, chosen: readonly Alternative[]): Config[] {
  const names = new Set(chosen.flatMap((each) => each.names));
  return (spec.devices?.config ?? [])
    .filter(({ requests = [] }) => requests.length === 0 || requests.some((name) => names.has(name)))
    .map((each) => ({ ...each, source: "FromClaim" as const }));
}

/** From where all the devices are reached; undefined: from everywhere. */
function nodeSelectorOf(given: readonly Given[], nodeName: string): corev1.NodeSelector | undefined {
  const term: Required<Pick<Term, "matchExpressions" | "matchFields">> = {
    matchExpressions: [],
    matchFields: [],
  };
  for (const { candidate } of given) {
    const { slice, device } = candidate;
    const place = slice.spec.perDeviceNodeSelection ? device : slice.spec;
    if (place.nodeName || device.bindsToNode) {
      const matchFields = [{ key: "metadata.name", operator: "In" as const, values: [nodeName] }];
      return { nodeSelectorTerms: [{ matchFields }] };
    }
    const [wanted] = place.nodeSelector?.nodeSelectorTerms ?? [];
    for (const list of ["matchExpressions", "matchFields"] as const)
      for (const each of wanted?.[list] ?? [])
        if (!term[list].some((known) => JSON.stringify(known) === JSON.stringify(each)))
          term[list].push(each);
  }
  const { matchExpressions, matchFields } = term;
  if (matchExpressions.length + matchFields.length === 0) return undefined;
  return {
    nodeSelectorTerms: [
      {
        ...(matchExpressions.length > 0 ? { matchExpressions } : {}),
        ...(matchFields.length > 0 ? { matchFields } : {}),
      },
    ],
  };
}
