/** Which names a CustomResourceDefinition gets: those that no other of its group has. Pure. */
import { type apiextensionsv1, sameJson } from "#api";

type Definition = Readonly<apiextensionsv1.CustomResourceDefinition>;
type Names = apiextensionsv1.CustomResourceDefinitionNames;
type Condition = apiextensionsv1.CustomResourceDefinitionCondition;

interface Decision {
  names: Names;
  condition: Condition;
}

export function decideNames(definition: Definition, others: readonly Definition[]): Decision {
  const group = others.filter(({ spec }) => spec.group === definition.spec.group);
  const resources = new Set<string | undefined>();
  const kinds = new Set<string | undefined>();
  for (const { status } of group) {
    const { plural, singular, shortNames = [], kind, listKind } = status.acceptedNames ?? {};
    for (const name of [plural, singular, ...shortNames]) if (name) resources.add(name);
    for (const name of [kind, listKind]) if (name) kinds.add(name);
  }
  const wanted = definition.spec.names;
  const names: Names = { ...(definition.status.acceptedNames ?? { plural: "", kind: "" }) };
  let conflict: { reason: string; message: string } | undefined;
  const accept = (name: "plural" | "singular" | "kind" | "listKind", used: Set<string | undefined>) => {
    const value = wanted[name] ?? "";
    if (value !== names[name] && used.has(value)) {
      const reason = `${name[0]!.toUpperCase()}${name.slice(1)}Conflict`;
      conflict = { reason, message: `${JSON.stringify(value)} is already in use` };
    } else names[name] = value;
  };
  accept("plural", resources);
  accept("singular", resources);
  const own = names.shortNames ?? [];
  const taken = (wanted.shortNames ?? []).filter((name) => !own.includes(name) && resources.has(name));
  if (taken.length > 0) {
    const texts = taken.map((name) => `${JSON.stringify(name)} is already in use`);
    const message = texts.length === 1 ? texts[0]! : `[${texts.join(", ")}]`;
    conflict = { reason: "ShortNamesConflict", message };
  } else if (wanted.shortNames) names.shortNames = wanted.shortNames;
  else delete names.shortNames;
  accept("kind", kinds);
  accept("listKind", kinds);
  if (wanted.categories) names.categories = wanted.categories;
  else delete names.categories;
  const good = { reason: "NoConflicts", message: "no conflicts found" };
  const condition = { type: "NamesAccepted", status: conflict ? "False" : "True", ...(conflict ?? good) };
  return { names, condition };
}

/** Whether what stands in the status already says it. */
export function isDecided(definition: Definition, { names, condition }: Decision): boolean {
  const old = definition.status.conditions?.find(({ type }) => type === condition.type);
  const { lastTransitionTime: _, ...said } = old ?? {};
  return sameJson(names, definition.status.acceptedNames) && sameJson(said, condition);
}
