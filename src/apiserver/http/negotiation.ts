/**
 * Which representation a client wants.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
 */
import { StatusError } from "#api";

export type Representation = "json" | "yaml" | "protobuf" | "table" | "partial";

interface MediaRange {
  type: string;
  parameters: Readonly<Record<string, string>>;
}

export const mediaTypes = {
  json: "application/json",
  yaml: "application/yaml",
  protobuf: "application/vnd.kubernetes.protobuf",
} as const;

const acceptMaxLength = 4096;

/** In the client's order of preference; quality values only sort. */
export function parseAccept(header: string | undefined): MediaRange[] {
  const text = header?.trim().slice(0, acceptMaxLength) || "*/*";
  const ranges = text.split(",").map((part, order) => {
    const [type = "", ...pairs] = part.split(";").map((p) => p.trim());
    const parameters = Object.fromEntries(
      pairs.map((p) => [p.split("=")[0]!, p.split("=").slice(1).join("=")]),
    );
    return { type: type.toLowerCase(), parameters, quality: Number(parameters.q ?? 1), order };
  });
  return ranges.filter((r) => r.quality !== 0).sort((a, b) => b.quality - a.quality || a.order - b.order);
}

/** Versions in which tables and metadata are told. */
export type MetaVersion = "v1" | "v1beta1";

export interface Choice {
  readonly representation: Representation;
  readonly metaVersion: MetaVersion;
}

/** Clients say the same again and again. */
const choices = new Map<string, Choice>();
const choicesMax = 100;

/**
 * How to answer with objects: the client's first choice, but stored bytes (JSON) before an encoding that would have to
 * be made of them (protobuf) where the client takes both.
 */
export function negotiate(header = ""): Choice {
  const known = choices.get(header);
  if (known) return known;
  const found = parseAccept(header).flatMap((range) => choiceOf(range) ?? []);
  const first = found[0];
  if (first === undefined) throw notAcceptable();
  const json = found.find(({ representation }) => representation === "json");
  const choice = first.representation === "protobuf" && json ? json : first;
  if (choices.size >= choicesMax) choices.clear();
  choices.set(header, choice);
  return choice;
}

/** As `negotiate`, for answers that are no objects with columns of their own: whoever takes nothing else gets a 406. */
export function negotiatePlain(header: string | undefined): "json" | "protobuf" {
  const found = parseAccept(header).map((range) => choiceOf(range)?.representation);
  const plain = found.find((each) => each !== undefined && each !== "table" && each !== "partial");
  if (!plain) throw notAcceptable();
  return plain === "protobuf" ? "protobuf" : "json";
}

export function notAcceptable(): StatusError {
  const message = `only the following media types are accepted: ${Object.values(mediaTypes).join(", ")}`;
  return StatusError.of(406, "NotAcceptable", message);
}

function choiceOf(range: MediaRange): Choice | undefined {
  const { as, g, v } = range.parameters;
  const isJson = range.type === mediaTypes.json || range.type === "*/*" || range.type === "application/*";
  if (as) {
    if (!isJson || g !== "meta.k8s.io" || (v !== "v1" && v !== "v1beta1")) return undefined;
    if (as === "Table") return { representation: "table", metaVersion: v };
    const isPartial = as === "PartialObjectMetadata" || as === "PartialObjectMetadataList";
    return isPartial ? { representation: "partial", metaVersion: v } : undefined;
  }
  if (isJson) return plainChoice("json");
  if (range.type === mediaTypes.yaml) return plainChoice("yaml");
  return range.type === mediaTypes.protobuf ? plainChoice("protobuf") : undefined;
}

function plainChoice(representation: Representation): Choice {
  return { representation, metaVersion: "v1" };
}
