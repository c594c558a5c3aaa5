/**
 * Charges what a write takes to the quotas of its namespace before it is stored; a quota that would be exceeded refuses.
 * What goes again is counted by the quota controller.
 * https://kubernetes.io/docs/concepts/policy/resource-quotas/
 */
import {
  type Amounts,
  addAmounts,
  compareQuantities,
  type corev1,
  forbidden,
  formatAmounts,
  isInScope,
  isStatus,
  type KubernetesObject,
  pickAmounts,
  pods,
  quotaUsage,
  type ResourceDefinition,
  resourceQuotas,
  subtractAmounts,
  unspecified,
} from "#api";
import type { Registry, WriteContext } from "../registry/context.ts";
import type { Storage } from "../registry/storage.ts";
import { change, statusStrategy } from "../registry/update.ts";
import { Configured } from "../webhooks/configured.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";

type Quota = Readonly<corev1.ResourceQuota>;

const definition = resourceQuotas as ResourceDefinition;
const context: WriteContext = {
  user: { username: "system:apiserver", groups: ["system:masters"] },
  dryRun: false,
};

interface Charge {
  quota: string;
  amounts: Amounts;
}

export function resourceQuota(storage: Storage, registry: () => Registry): AdmissionStep {
  const quotas = new Configured(storage, resourceQuotas);
  const charged = new WeakMap<Attributes, Charge[]>();
  return {
    name: "ResourceQuota",
    charge(attributes) {
      if (quotas.all.length === 0 || !isCharged(attributes)) return undefined;
      const own = quotas.all.filter((quota) => quota.metadata.namespace === attributes.namespace);
      const charges = own.flatMap((quota) => chargeTo(quota, attributes));
      if (charges.length === 0) return undefined;
      return chargeAll(registry(), attributes, charges, (charge) => {
        charged.set(attributes, [...(charged.get(attributes) ?? []), charge]);
      });
    },
    settled(attributes) {
      const charges = charged.get(attributes);
      if (!charges || isStored(storage, attributes)) return;
      for (const charge of charges) void giveBack(registry(), attributes, charge);
    },
  };
}

function isCharged({ operation, subresource, namespace, object }: Attributes): boolean {
  if (!object || !namespace) return false;
  return operation === "CREATE" ? subresource === "" : subresource === "" || subresource === "resize";
}

/** An update that failed is put right by the controller's next look. */
function isStored(storage: Storage, { operation, definition: of, namespace, object }: Attributes): boolean {
  if (operation !== "CREATE") return true;
  const found = storage.find(of, namespace, object?.metadata.name ?? "");
  return found !== undefined && found.parse().metadata.uid === object?.metadata.uid;
}

/** What this write takes of the quota beyond what the object has already; throws where the quota wants to know more. */
function chargeTo(quota: Quota, attributes: Attributes): Charge[] {
  const { definition: of, object, old, name } = attributes;
  const hard = new Set(Object.keys(quota.spec?.hard ?? {}));
  const usage = usageIn(quota, of, object, hard);
  if (of === (pods as ResourceDefinition) && attributes.operation === "CREATE" && usage) {
    const missing = unspecified(object as corev1.Pod, hard);
    if (missing.length > 0)
      throw forbidden(of, name, `failed quota: ${quota.metadata.name}: must specify ${missing.join("; ")}`);
  }
  const delta = subtractAmounts(usage ?? {}, usageIn(quota, of, old, hard) ?? {});
  const grown = Object.entries(delta).filter(([, amount]) => compareQuantities(amount, 0) > 0);
  if (grown.length === 0) return [];
  return [{ quota: quota.metadata.name ?? "", amounts: Object.fromEntries(grown) }];
}

/** Undefined where the quota is not about the object. */
function usageIn(
  quota: Quota,
  of: ResourceDefinition,
  object: Readonly<KubernetesObject> | undefined,
  hard: ReadonlySet<string>,
): Amounts | undefined {
  if (!object || !isInScope(quota, of, object)) return undefined;
  return pickAmounts(quotaUsage(of, object), hard);
}

async function chargeAll(
  registry: Registry,
  attributes: Attributes,
  charges: readonly Charge[],
  isDone: (charge: Charge) => void,
): Promise<void> {
  for (const charge of charges) {
    const took = await write(registry, attributes, charge.quota, (quota) => {
      refuseExcess(quota, attributes, charge.amounts);
      return addAmounts(quota.status?.used, charge.amounts);
    });
    if (took) isDone(charge);
  }
}

function refuseExcess(quota: Quota, { definition: of, name }: Attributes, amounts: Amounts): void {
  const { hard = {}, used = {} } = quota.status ?? {};
  const quotaName = quota.metadata.name;
  const unknown = Object.keys(amounts).filter((each) => hard[each] === undefined);
  if (unknown.length > 0)
    throw forbidden(
      of,
      name,
      `status unknown for quota: ${quotaName}, resources: ${unknown.sort().join(",")}`,
    );
  const wanted = addAmounts(used, amounts);
  const exceeded = new Set(
    Object.keys(amounts).filter((each) => compareQuantities(wanted[each]!, hard[each]!) > 0),
  );
  if (exceeded.size === 0) return;
  const requested = formatAmounts(pickAmounts(amounts, exceeded));
  const taken = formatAmounts(Object.fromEntries([...exceeded].map((each) => [each, used[each] ?? "0"])));
  const limited = formatAmounts(pickAmounts(hard, exceeded));
  const why = `exceeded quota: ${quotaName}, requested: ${requested}, used: ${taken}, limited: ${limited}`;
  throw forbidden(of, name, why);
}

/** False where nothing was taken: a dry run, or the quota is gone. */
async function write(
  registry: Registry,
  { namespace, dryRun }: Attributes,
  name: string,
  usedOf: (quota: Quota) => Amounts,
): Promise<boolean> {
  const target = { definition, namespace, name };
  try {
    await change(registry, target, { ...context, dryRun }, statusStrategy(definition), (read) => {
      const quota = read() as corev1.ResourceQuota;
      quota.status = { ...quota.status, used: usedOf(quota) };
      return quota;
    });
    return !dryRun;
  } catch (error) {
    if (isStatus(error, "NotFound")) return false;
    throw error;
  }
}

async function giveBack(registry: Registry, attributes: Attributes, charge: Charge): Promise<void> {
  try {
    await write(registry, attributes, charge.quota, ({ status }) =>
      subtractAmounts(status?.used, charge.amounts),
    );
  } catch (error) {
    registry.world.log.warn(
      { err: error, quota: charge.quota },
      "a charge could not be given back; the quota controller counts again",
    );
  }
}
