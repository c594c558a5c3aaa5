/**
 * The `extenders` of a `KubeSchedulerConfiguration`: programs that are asked over HTTP beside the plugins.
 * https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/#kubescheduler-config-k8s-io-v1-Extender
 */
import { readFileSync } from "node:fs";
import { messageOf, parseGoDuration, UserError } from "#base";

export interface ExtenderConfiguration {
  urlPrefix?: string;
  filterVerb?: string;
  preemptVerb?: string;
  prioritizeVerb?: string;
  weight?: number;
  bindVerb?: string;
  enableHTTPS?: boolean;
  tlsConfig?: {
    insecure?: boolean;
    serverName?: string;
    certFile?: string;
    keyFile?: string;
    caFile?: string;
    certData?: string;
    keyData?: string;
    caData?: string;
  };
  httpTimeout?: string;
  nodeCacheCapable?: boolean;
  managedResources?: readonly { name: string; ignoredByScheduler?: boolean }[];
  ignorable?: boolean;
}

export interface TlsOptions {
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
  servername?: string;
  rejectUnauthorized?: boolean;
}

/** An extender as it is used: everything said, certificates read. */
export interface ExtenderSettings {
  readonly urlPrefix: string;
  readonly verbs: Readonly<Record<"filter" | "preempt" | "prioritize" | "bind", string>>;
  readonly weight: number;
  readonly timeoutMs: number;
  readonly tls: TlsOptions;
  /** It knows the nodes: their names are enough. */
  readonly byName: boolean;
  /** Undefined: it is asked about every pod. */
  readonly resources: ReadonlySet<string> | undefined;
  /** Pods are scheduled without it while it cannot be reached. */
  readonly ignorable: boolean;
}

const defaultTimeoutMs = 5_000;
const extendersMax = 32;

/** Throws `UserError` for what cannot be used. */
export function extenderSettings(extenders: readonly ExtenderConfiguration[]): ExtenderSettings[] {
  if (extenders.length > extendersMax) throw wrong(`${extenders.length} extenders`, `use ${extendersMax}`);
  const settings = extenders.map(settingsOf);
  const binders = settings.filter(({ verbs }) => verbs.bind !== "").length;
  if (binders > 1) throw wrong(`${binders} of them bind`, "only one extender can implement bind");
  return settings;
}

function wrong(problem: string, mend: string): UserError {
  return new UserError(`the scheduler's extenders cannot be used: ${problem}`, mend);
}

function settingsOf(extender: ExtenderConfiguration): ExtenderSettings {
  const { urlPrefix = "", prioritizeVerb = "", weight = 0, managedResources = [] } = extender;
  if (!/^https?:\/\/./.test(urlPrefix) || !URL.canParse(urlPrefix))
    throw wrong(`urlPrefix ${JSON.stringify(urlPrefix)} is no address`, "write http://host:port/path");
  if (prioritizeVerb !== "" && weight <= 0)
    throw wrong(`${urlPrefix} weighs ${weight}`, "it must have a positive weight applied to it");
  const isTls = extender.enableHTTPS === true || extender.tlsConfig !== undefined;
  return {
    urlPrefix: isTls ? urlPrefix.replace(/^http:/, "https:") : urlPrefix,
    verbs: {
      filter: extender.filterVerb ?? "",
      preempt: extender.preemptVerb ?? "",
      prioritize: prioritizeVerb,
      bind: extender.bindVerb ?? "",
    },
    weight,
    timeoutMs: timeoutOf(extender),
    tls: tlsOf(extender),
    byName: extender.nodeCacheCapable ?? false,
    resources: managedResources.length > 0 ? new Set(managedResources.map(({ name }) => name)) : undefined,
    ignorable: extender.ignorable ?? false,
  };
}

function timeoutOf({ httpTimeout }: ExtenderConfiguration): number {
  if (httpTimeout === undefined) return defaultTimeoutMs;
  try {
    return parseGoDuration(httpTimeout) || defaultTimeoutMs;
  } catch (error) {
    throw wrong(`httpTimeout ${messageOf(error)}`, "write 5s, 500ms");
  }
}

/** As upstream: with HTTPS asked for and no authority named, any certificate will do. */
function tlsOf({ tlsConfig = {}, enableHTTPS = false }: ExtenderConfiguration): TlsOptions {
  const { serverName, insecure = false } = tlsConfig;
  const part = (data: string | undefined, file: string | undefined) =>
    data ? Buffer.from(data, "base64") : file ? readFile(file) : undefined;
  const ca = part(tlsConfig.caData, tlsConfig.caFile);
  const cert = part(tlsConfig.certData, tlsConfig.certFile);
  const key = part(tlsConfig.keyData, tlsConfig.keyFile);
  return {
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(serverName ? { servername: serverName } : {}),
    ...(insecure || (enableHTTPS && !ca) ? { rejectUnauthorized: false } : {}),
  };
}

function readFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw wrong(messageOf(error), "name a file that can be read");
  }
}

/** Resources that extenders alone count. */
export function ignoredResources(extenders: readonly ExtenderConfiguration[]): ReadonlySet<string> {
  const managed = extenders.flatMap(({ managedResources = [] }) => managedResources);
  return new Set(managed.filter(({ ignoredByScheduler }) => ignoredByScheduler).map(({ name }) => name));
}
