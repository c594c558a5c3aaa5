/** PriorityLevelConfiguration: how many requests at once. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/priority-level-configuration-v1/ */
import { sameJson } from "../core/pod-spec/template.ts";
import type { flowcontrolv1 } from "../generated/types/index.ts";
import {
  ageColumn,
  column,
  defineResource,
  keepAllButStatusWithMetadata,
  nameColumn,
} from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../meta/field-error.ts";
import { inRange } from "../validation/numbers.ts";
import { mandatoryPriorityLevels } from "./defaults.ts";
import { validateConditions } from "./flow-schema.ts";

type Level = Readonly<flowcontrolv1.PriorityLevelConfiguration>;
type Spec = Readonly<flowcontrolv1.PriorityLevelConfigurationSpec>;

const queuesMax = 10_000_000;
/** A hand of queues is dealt from so many bits of a hash. */
const hashBitsMax = 60;

function defaultLevel(level: flowcontrolv1.PriorityLevelConfiguration): void {
  level.spec ??= {} as flowcontrolv1.PriorityLevelConfigurationSpec;
  const { exempt, limited } = level.spec;
  if (exempt) {
    exempt.nominalConcurrencyShares ??= 0;
    exempt.lendablePercent ??= 0;
  }
  if (!limited) return;
  limited.nominalConcurrencyShares ??= 30;
  limited.lendablePercent ??= 0;
  const queuing = limited.limitResponse?.queuing;
  if (!queuing) return;
  queuing.handSize ||= 8;
  queuing.queues ||= 64;
  queuing.queueLengthLimit ||= 50;
}

function validateLevel(level: Level): FieldError[] {
  const { spec, metadata } = level;
  const { name } = metadata;
  const errors = validateSpec(spec, name);
  const mandatory = mandatoryPriorityLevels.find((each) => each.name === name);
  // What the exempt level lends may be changed.
  const fixed = ({ exempt, ...rest }: Spec) => (name === "exempt" ? rest : { ...rest, exempt });
  if (mandatory && !sameJson(fixed(spec), fixed(mandatory.spec)))
    errors.push(invalid("spec", spec, `spec of '${name}' must equal the fixed value`));
  return [...errors, ...validateConditions(level.status?.conditions)];
}

function validateSpec(spec: Spec, name: string): FieldError[] {
  const { type = "", exempt, limited } = spec;
  const errors: FieldError[] = [];
  if ((name === "exempt") !== (type === "Exempt")) {
    const detail = "type must be 'Exempt' if and only if name is 'exempt'";
    errors.push(invalid("spec.type", type, detail));
  }
  if (type === "Exempt") {
    if (limited) errors.push(forbiddenField("spec.limited", "must be nil if the type is not Limited"));
    if (exempt) errors.push(...validateShares(exempt, "spec.exempt"));
  } else if (type === "Limited") {
    if (exempt) errors.push(forbiddenField("spec.exempt", "must be nil if the type is Limited"));
    if (limited) errors.push(...validateLimited(limited));
    else errors.push(required("spec.limited", "must not be empty when type is Limited"));
  } else errors.push(notSupported("spec.type", type, ["Exempt", "Limited"]));
  return errors;
}

type Shares = Readonly<flowcontrolv1.ExemptPriorityLevelConfiguration>;

function validateShares(
  { nominalConcurrencyShares: shares = 0, lendablePercent }: Shares,
  at: string,
): FieldError[] {
  return [
    ...(shares < 0
      ? [invalid(`${at}.nominalConcurrencyShares`, shares, "must be a non-negative integer")]
      : []),
    ...inRange(lendablePercent, `${at}.lendablePercent`, 0, 100),
  ];
}

function validateLimited(limited: Readonly<flowcontrolv1.LimitedPriorityLevelConfiguration>): FieldError[] {
  const at = "spec.limited";
  const { limitResponse, borrowingLimitPercent: borrowed } = limited;
  const [shares, lendable] = [
    validateShares({ nominalConcurrencyShares: limited.nominalConcurrencyShares ?? 0 }, at),
    inRange(limited.lendablePercent, `${at}.lendablePercent`, 0, 100),
  ];
  const borrowing =
    borrowed !== undefined && borrowed < 0
      ? [invalid(`${at}.borrowingLimitPercent`, borrowed, "if specified, must be a non-negative integer")]
      : [];
  return [...shares, ...validateResponse(limitResponse ?? { type: "" }, at), ...lendable, ...borrowing];
}

function validateResponse(response: Readonly<flowcontrolv1.LimitResponse>, path: string): FieldError[] {
  const at = `${path}.limitResponse`;
  const { type = "", queuing } = response;
  if (type === "Reject") {
    const detail = "must be nil if limited.limitResponse.type is not Limited";
    return queuing ? [forbiddenField(`${at}.queuing`, detail)] : [];
  }
  if (type !== "Queue") return [notSupported(`${at}.type`, type, ["Queue", "Reject"])];
  if (queuing) return validateQueuing(queuing, `${at}.queuing`);
  return [required(`${at}.queuing`, "must not be empty if limited.limitResponse.type is Limited")];
}

function validateQueuing(queuing: Readonly<flowcontrolv1.QueuingConfiguration>, at: string): FieldError[] {
  const { queues = 0, handSize = 0, queueLengthLimit = 0 } = queuing;
  const errors: FieldError[] = [];
  if (queueLengthLimit <= 0)
    errors.push(invalid(`${at}.queueLengthLimit`, queueLengthLimit, "must be positive"));
  if (queues <= 0) errors.push(invalid(`${at}.queues`, queues, "must be positive"));
  else if (queues > queuesMax)
    errors.push(invalid(`${at}.queues`, queues, `must not be greater than ${queuesMax}`));
  const hand = (detail: string) => errors.push(invalid(`${at}.handSize`, handSize, detail));
  if (handSize <= 0) hand("must be positive");
  else if (handSize > queues) hand(`should not be greater than queues (${queues})`);
  else if (Math.ceil(Math.log2(queues) * handSize) > hashBitsMax)
    hand(
      `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than ${hashBitsMax}`,
    );
  return errors;
}

const none = "<none>";

export const priorityLevelConfigurations = defineResource<flowcontrolv1.PriorityLevelConfiguration>({
  group: "flowcontrol.apiserver.k8s.io",
  version: "v1",
  resource: "prioritylevelconfigurations",
  kind: "PriorityLevelConfiguration",
  typeName: "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
  namespaced: false,
  hasGeneration: true,
  subresources: { status: { kind: "PriorityLevelConfiguration", verbs: ["get", "patch", "update"] } },
  defaults: defaultLevel,
  onStatusUpdate: keepAllButStatusWithMetadata,
  validate: validateLevel,
  validateStatusUpdate: ({ status }) => validateConditions(status?.conditions),
  columns: [
    nameColumn(),
    column("Type", "string", "Whether it limits requests at all.", (l) => l.spec.type ?? ""),
    column(
      "NominalConcurrencyShares",
      "string",
      "Its share of all that are served at once.",
      (l) => l.spec.limited?.nominalConcurrencyShares ?? none,
    ),
    column(
      "Queues",
      "string",
      "How many queues it has.",
      (l) => l.spec.limited?.limitResponse?.queuing?.queues ?? none,
    ),
    column(
      "HandSize",
      "string",
      "From how many queues a flow gets its shortest.",
      (l) => l.spec.limited?.limitResponse?.queuing?.handSize ?? none,
    ),
    column(
      "QueueLengthLimit",
      "string",
      "How many requests wait in a queue at most.",
      (l) => l.spec.limited?.limitResponse?.queuing?.queueLengthLimit ?? none,
    ),
    ageColumn(),
  ],
});
