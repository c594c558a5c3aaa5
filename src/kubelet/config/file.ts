/**
 * `KubeletConfiguration`: upstream's file, read field by field. What nobody knows is refused; what upstream knows and this
 * kubelet has no use for is answered by name, to be told.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
import { parse } from "yaml";
import { messageOf, UserError } from "#base";
import { periodGate, problemsOf } from "./checks.ts";
import { objectOf } from "./codecs.ts";
import { type Field, fields } from "./fields.ts";
import { fixedFields, isOther } from "./fixed.ts";
import { defaultConfig, type KubeletConfig } from "./settings.ts";

const version = "kubelet.config.k8s.io/v1beta1";
const kind = "KubeletConfiguration";
const fileMaxBytes = 1024 * 1024;
const reference = "see the KubeletConfiguration reference of Kubernetes 1.36";

/** Gates that make a difference here. What is alpha upstream is off here, what is not is on. */
const gates: ReadonlySet<string> = new Set([periodGate]);

export interface ReadConfiguration {
  config: Partial<KubeletConfig>;
  /** Fields that stand in the file and change nothing here. */
  unused: readonly string[];
}

type Wrong = (problem: string, mend: string) => UserError;
type Given = Record<string, unknown>;

/** What the file says, as it says it. */
function contentOf(content: string, wrong: Wrong): Given {
  if (content.length > fileMaxBytes)
    throw wrong("the file is too large", `give at most ${fileMaxBytes} bytes`);
  let whole: Given;
  try {
    whole = objectOf(parse(content, { maxAliasCount: 100, logLevel: "error" }));
  } catch (error) {
    throw wrong(messageOf(error), `write a ${kind} as YAML or JSON`);
  }
  const { apiVersion, kind: actual, ...rest } = whole;
  if (apiVersion !== version || actual !== kind)
    throw wrong(`it is ${apiVersion} ${actual}`, `write apiVersion: ${version} and kind: ${kind}`);
  return rest;
}

function givenValue({ codec, emptyIsDefault }: Field, given: unknown): unknown {
  const value = codec.read(given);
  return emptyIsDefault && (value === 0 || value === "") ? undefined : value;
}

function readFields(given: Given, wrong: Wrong): ReadConfiguration {
  const config: Given = {};
  const unused: string[] = [];
  for (const [name, value] of Object.entries(given)) {
    const known = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (!known) {
      if (!Object.hasOwn(fixedFields, name)) throw wrong(`unknown field "${name}"`, reference);
      if (isOther(name, value)) unused.push(name);
      continue;
    }
    if (value === null) continue;
    try {
      const read = givenValue(known, value);
      if (read !== undefined) config[known.key] = read;
    } catch (error) {
      throw wrong(`${name} ${messageOf(error)}`, reference);
    }
  }
  return { config: config as Partial<KubeletConfig>, unused };
}

/** What follows from what is given for what is not. */
function settle(config: Partial<KubeletConfig>, defaults: KubeletConfig): Partial<KubeletConfig> {
  const { serializeImagePulls, maxParallelImagePulls, nodeStatusMs, nodeStatusReportMs } = config;
  const settled = { ...config };
  // One at a time, or as many as come: each says the same in two fields.
  if (maxParallelImagePulls !== undefined) settled.serializeImagePulls ??= maxParallelImagePulls === 1;
  else if (serializeImagePulls !== undefined) settled.maxParallelImagePulls = serializeImagePulls ? 1 : 0;
  if (nodeStatusMs !== undefined && nodeStatusReportMs === undefined)
    settled.nodeStatusReportMs = nodeStatusMs;
  if (config.mergeEvictionDefaults && config.evictionHard)
    settled.evictionHard = { ...defaults.evictionHard, ...config.evictionHard };
  if (config.podPidsLimit !== undefined && config.podPidsLimit < 0) settled.podPidsLimit = -1;
  return settled;
}

/**
 * Throws `UserError`; `file` is named in it. `defaults` are the distribution's, where they are others than upstream's.
 */
export function readKubeletConfiguration(
  content: string,
  file: string,
  defaults: Partial<KubeletConfig> = {},
): ReadConfiguration {
  const wrong = (problem: string, mend: string) => new UserError(`${file}: ${problem}`, mend);
  const given = contentOf(content, wrong);
  const all = { ...defaultConfig, ...defaults };
  const { config: read, unused: others } = readFields(given, wrong);
  const unused = [...others];
  const config = settle(read, all);
  if (given.runOnce === true)
    throw wrong(
      "invalid configuration: runOnce (--runOnce) true, Runonce mode has been deprecated and should not be set",
      "leave runOnce out",
    );
  if (given.maxParallelImagePulls === 0)
    throw wrong("invalid configuration: maxParallelImagePulls 0 must be a positive number", reference);
  const problems = problemsOf({ ...all, ...config });
  const [first] = problems;
  if (first) {
    const words = problems.map((each) => each.words);
    throw wrong(words.length === 1 ? first.words : `[${words.join(", ")}]`, first.mend ?? reference);
  }
  const authority = Object(Object(given.authentication).x509).clientCAFile;
  if (authority) unused.push("authentication.x509.clientCAFile");
  const idle = Object.keys(config.featureGates ?? {}).filter((name) => !gates.has(name));
  return { config, unused: [...unused, ...idle.map((name) => `featureGates.${name}`)] };
}

/** The settings in upstream's form: what `/configz` shows. */
export function kubeletConfigurationOf(config: KubeletConfig): Record<string, unknown> {
  const shownFields = Object.entries(fields).map(([name, { key, codec }]) => [name, codec.show(config[key])]);
  return { ...fixedFields, ...Object.fromEntries(shownFields) };
}
