/**
 * Bodies in YAML, in time that grows with their length whatever they say. What plain words mean is what it means to the
 * parser that Kubernetes uses (YAML 1.1 without its numbers to the base of sixty).
 * https://yaml.org/type/
 */
import { jsonDepthMax } from "#api";

export interface YamlBody {
  readonly value: unknown;
  /** What strict decoding minds: keys that stand twice. The last one counts. */
  readonly problem?: string;
}

type Yaml = typeof import("js-yaml");
type Event = ReturnType<Yaml["parseEvents"]>[number];

const aliasesMax = 100;
/** Values in a document whose aliases are written out. */
const valuesMax = 200_000;
const repeatedMax = 100;

/** Loads the parser when the first body comes. Parsing throws an error with one line for what is no YAML. */
export async function yamlParser(): Promise<(text: string) => YamlBody> {
  const yaml = await import("js-yaml");
  const schema = schemaOf(yaml);
  return (text) => parse(yaml, schema, text);
}

function parse(yaml: Yaml, schema: InstanceType<Yaml["Schema"]>, text: string): YamlBody {
  try {
    const events = yaml.parseEvents(text, { maxDepth: jsonDepthMax });
    const documents = yaml.constructFromEvents(events, {
      source: text,
      schema,
      json: true,
      maxAliases: aliasesMax,
    });
    if (documents.length > 1) throw new Error("expected a single document in the stream, but found more");
    const hasAliases = events.some(({ type }) => type === yaml.EVENT_ID.ALIAS);
    const value = hasAliases ? written(documents[0], { values: 0 }, 0) : (documents[0] ?? null);
    const repeated = repeatedKeys(yaml, text, events);
    if (repeated.length === 0) return { value };
    return { value, problem: ["yaml: unmarshal errors:", ...repeated].join("\n") };
  } catch (error) {
    throw new Error(`yaml: ${reasonOf(yaml, error)}`);
  }
}

function reasonOf(yaml: Yaml, error: unknown): string {
  if (!(error instanceof yaml.YAMLException)) return error instanceof Error ? error.message : String(error);
  return error.mark ? `line ${error.mark.line + 1}: ${error.reason}` : error.reason;
}

const integer = /^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$/;

function schemaOf(yaml: Yaml): InstanceType<Yaml["Schema"]> {
  const int = yaml.defineScalarTag("tag:yaml.org,2002:int", {
    implicit: true,
    implicitFirstChars: ["-", "+", ..."0123456789"],
    resolve: (source) => (integer.test(source) ? integerOf(source) : yaml.NOT_RESOLVED),
    // Only read, never written.
    identify: () => false,
  });
  return yaml.CORE_SCHEMA.withTags(yaml.boolYaml11Tag, int, yaml.mergeTag);
}

/** A zero at the front is for numbers to the base of eight: modes of files are written so. */
function integerOf(source: string): number {
  const sign = source.startsWith("-") ? -1 : 1;
  const digits = source.replace(/^[-+]/, "").replaceAll("_", "");
  if (/^0[0-7]+$/.test(digits)) return sign * Number.parseInt(digits, 8);
  return Number(digits) * sign || 0;
}

/** Everything an alias stands for, once for each place: what comes of it is changed in place. */
function written(value: unknown, count: { values: number }, depth: number): unknown {
  if (++count.values > valuesMax || depth > jsonDepthMax)
    throw new Error("document contains excessive aliasing");
  if (Array.isArray(value)) return value.map((each) => written(each, count, depth + 1));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, each]) => [key, written(each, count, depth + 1)] as const);
  return Object.fromEntries(entries);
}

interface Level {
  /** Of a mapping. */
  keys: Set<string> | undefined;
  expectsKey: boolean;
}

/** As upstream's parser tells of them, by the lines of the second ones. */
function repeatedKeys(yaml: Yaml, text: string, events: readonly Event[]): string[] {
  const { SCALAR, MAPPING, SEQUENCE, DOCUMENT, POP } = yaml.EVENT_ID;
  const levels: Level[] = [];
  const found: string[] = [];
  const lineAt = lineCounter(text);
  for (const event of events) {
    if (event.type === POP) levels.pop();
    const level = levels.at(-1);
    if (event.type === SCALAR && level?.keys && level.expectsKey) {
      const key = yaml.getScalarValue(text, event);
      if (level.keys.has(key) && key !== "<<" && found.length < repeatedMax) {
        found.push(`  line ${lineAt(event.valueStart)}: key ${JSON.stringify(key)} already set in map`);
      }
      level.keys.add(key);
    }
    const opens = event.type === MAPPING || event.type === SEQUENCE || event.type === DOCUMENT;
    // A value is over when it is a word, or when what it opened is closed again.
    if (level && !opens) level.expectsKey = !level.expectsKey;
    if (opens) levels.push({ keys: event.type === MAPPING ? new Set() : undefined, expectsKey: true });
  }
  return found;
}

/** Asked with rising positions. */
function lineCounter(text: string): (position: number) => number {
  let line = 1;
  let at = 0;
  return (position) => {
    for (; at < position; at++) if (text.charCodeAt(at) === 10) line++;
    return line;
  };
}
