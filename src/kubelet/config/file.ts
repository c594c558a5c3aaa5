/**
 * `KubeletConfiguration`: upstream's file, read field by field. What nobody knows is refused; what upstream knows and this
 * kubelet has no use for is answered by name, to be told.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
import { parse } from "yaml";
import { messageOf, UserError } from "#base";
import { type Problem, periodGate, problemsOf } from "./checks.ts";
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

export interface ConfigFile {
  file: string;
  content: string;
}

type Wrong = (problem: string, mend: string) => UserError;

const wrongIn =
  (file: string): Wrong =>
  (problem, mend) =>
    new UserError(`${file}: ${problem}`, mend);

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

function readFields(given: Given, wrong: (name: string) => Wrong): ReadConfiguration {
  const config: Given = {};
  const unused: string[] = [];
  for (const [name, value] of Object.entries(given)) {
    const known = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (!known) {
      if (!Object.hasOwn(fixedFields, name)) throw wrong(name)(`unknown field "${name}"`, reference);
      if (isOther(name, value)) unused.push(name);
      continue;
    }
    if (value === null) continue;
    try {
      const read = givenValue(known, value);
      if (read !== undefined) config[known.key] = read;
    } catch (error) {
      throw wrong(name)(`${name} ${messageOf(error)}`, reference);
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

/** As upstream merges them: maps name by name, a null takes away, everything else is replaced. */
function merge(below: Given, above: Given): Given {
  const merged = { ...below };
  for (const [name, value] of Object.entries(above)) {
    if (value === null) delete merged[name];
    else merged[name] = isMap(value) ? merge(isMap(merged[name]) ? merged[name] : {}, value) : value;
  }
  return merged;
}

const isMap = (value: unknown): value is Given =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What stands in the file, looks as if it did something, and does nothing. */
function idleParts(given: Given, config: Partial<KubeletConfig>): string[] {
  const { featureGates = {}, logging, enforceNodeAllocatable = [] } = config;
  const authority = Object(Object(given.authentication).x509).clientCAFile;
  const idle = Object.keys(featureGates).filter((name) => !gates.has(name));
  // The groups of others than pods are nobody's here.
  const others = enforceNodeAllocatable.filter((name) => name !== "pods" && name !== "none");
  return [
    ...others.map((name) => `enforceNodeAllocatable.${name}`),
    ...(authority ? ["authentication.x509.clientCAFile"] : []),
    ...(logging?.format === "text" ? ["logging.format"] : []),
    ...idle.map((name) => `featureGates.${name}`),
  ];
}

/** What only the file itself tells, and not what is made of it. */
function givenProblems({ runOnce, maxParallelImagePulls }: Given): string[] {
  return [
    ...(runOnce === true
      ? ["runOnce (--runOnce) true, Runonce mode has been deprecated and should not be set"]
      : []),
    ...(maxParallelImagePulls === 0 ? ["maxParallelImagePulls 0 must be a positive number"] : []),
  ].map((words) => `invalid configuration: ${words}`);
}

/**
 * The first file says least: what comes after it holds. `defaults` are the distribution's, where they are others than
 * upstream's. Throws `UserError`, which names the file.
 */
export function readKubeletConfiguration(
  files: readonly ConfigFile[],
  defaults: Partial<KubeletConfig> = {},
): ReadConfiguration {
  const said = files.map(({ file, content }) => ({ file, given: contentOf(content, wrongIn(file)) }));
  const given = said.reduce((below, each) => merge(below, each.given), {} as Given);
  const wrong = (name: string) =>
    wrongIn(said.findLast((each) => Object.hasOwn(each.given, name))?.file ?? files[0]?.file ?? "");
  const all = { ...defaultConfig, ...defaults };
  const { config: read, unused } = readFields(given, wrong);
  const config = settle(read, all);
  const problems = [
    ...givenProblems(given).map((words): Problem => ({ words })),
    ...problemsOf({ ...all, ...config }),
  ];
  const [first] = problems;
  if (first) {
    const words = problems.length === 1 ? first.words : `[${problems.map((each) => each.words).join(", ")}]`;
    throw wrongIn(files.map(({ file }) => file).join(" with "))(words, first.mend ?? reference);
  }
  return { config, unused: [...unused, ...idleParts(given, config)] };
}

/** The settings in upstream's form: what `/configz` shows. */
export function kubeletConfigurationOf(config: KubeletConfig): Record<string, unknown> {
  const shownFields = Object.entries(fields).map(([name, { key, codec }]) => [name, codec.show(config[key])]);
  return { ...fixedFields, ...Object.fromEntries(shownFields) };
}
