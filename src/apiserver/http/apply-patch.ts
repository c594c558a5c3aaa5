/** The bodies of server-side apply: a configuration in JSON or YAML, and what it makes of an object. */
import { badRequest, DecodeError, isObject, type KubernetesObject, parseJson } from "#api";
import { messageOf } from "#base";
import { applyTo, type ManagedKind, type ManagedWrite } from "../apply/index.ts";
import { decodeBody, type ExpectedKind, fieldValidationOf, saidOf } from "./body.ts";
import type { ApiRequest } from "./exchange.ts";
import { yamlParser } from "./yaml-body.ts";

/** Makes the wanted object of the present one, owners included; of nothing where there is none yet. */
export type ApplyMake = (current: (() => KubernetesObject) | undefined) => KubernetesObject;

export type Configuration = Record<string, unknown>;

/** The write as far as the request tells it; `definition` is of the version that the request names. */
export type ApplyWrite = ManagedWrite & { readonly force: boolean };

export async function configurationOf(request: ApiRequest, warnings: string[]): Promise<Configuration> {
  const validation = fieldValidationOf(request.query);
  const { value, problem }: Configured =
    saidOf(request) ?? (await parsed(request.body, validation !== "Ignore"));
  if (!isObject(value)) {
    throw badRequest(
      `error decoding YAML: json: cannot unmarshal into Go value of type map[string]interface {}`,
    );
  }
  if (problem && validation === "Strict") throw badRequest(`error strict decoding YAML: ${problem}`);
  if (problem) warnings.push(problem);
  return value;
}

interface Configured {
  value: unknown;
  /** What strict decoding minds: keys that stand twice. */
  problem?: string;
}

async function parsed(body: Buffer, strict: boolean): Promise<Configured> {
  const text = body.toString("utf8");
  try {
    const { value, duplicates } = parseJson(text, { duplicates: strict });
    if (duplicates.length === 0) return { value };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    if (error.message === "exceeded max depth") throw badRequest(`error decoding YAML: ${error.message}`);
  }
  // YAML, or JSON whose repeated keys want the number of their line.
  const parseYaml = await yamlParser();
  try {
    const { value, problem } = parseYaml(text);
    return strict && problem ? { value, problem: `error converting YAML to JSON: ${problem}` } : { value };
  } catch (error) {
    throw badRequest(`error decoding YAML: error converting YAML to JSON: ${messageOf(error)}`);
  }
}

/** A function that lays the configuration over an object of the version that the request names. */
export function applyMake(
  write: ApplyWrite,
  expected: Pick<ExpectedKind, "typeName" | "custom">,
  config: Configuration,
): ApplyMake {
  return (current) => {
    // The result shares its parts with the configuration and is decoded in place.
    const applied = applyTo(write, current?.(), structuredClone(config));
    try {
      decodeBody(expected, applied);
    } catch (error) {
      if (error instanceof DecodeError) throw badRequest(error.message);
      throw error;
    }
    return applied as unknown as KubernetesObject;
  };
}

/** What `applyTo` needs to know of a kind that is no resource. */
export function definitionOfKind({ apiVersion, kind, typeName }: ExpectedKind): ManagedKind {
  const [version, group = ""] = apiVersion.split("/").reverse();
  return { group, version: version!, kind, typeName, subresources: {} };
}
