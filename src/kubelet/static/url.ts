/**
 * Static pods that a web server tells of: `staticPodURL` answers one Pod or a list of them, as YAML or JSON.
 * https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/#pods-created-via-http
 */
import { readFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { parse } from "yaml";
import type { corev1 } from "#api";
import { messageOf, type World, writeDurably } from "#base";
import { ManifestError, staticPodOf } from "./manifest.ts";

export interface UrlSource {
  url: string;
  headers: Readonly<Record<string, readonly string[]>>;
  /** How often it is asked. */
  checkMs: number;
}

const answerMaxBytes = 10 * 1024 * 1024;
/** As upstream's client. */
const timeoutMs = 10_000;

/** The pods of the last good answer: whoever cannot be reached takes no pod away. */
export interface UrlManifests {
  /** Asks where it is time to; only the first answer is waited for. */
  load(): Promise<void>;
  pods(): readonly corev1.Pod[];
  stop(): void;
}

/** `file` keeps the last good answer: the next kubelet may find nobody to ask, and its pods run. */
export function createUrlManifests(
  source: UrlSource,
  { nodeName, file, world }: { nodeName: string; file: string; world: World },
): UrlManifests {
  const ending = new AbortController();
  let known: readonly corev1.Pod[] = [];
  let last: string | undefined;
  let againMs = Number.NEGATIVE_INFINITY;
  let problem = "";

  function take(content: string): boolean {
    if (content === last) return false;
    known = podsOf(content, { url: source.url, nodeName, nowMs: world.clock.now() });
    last = content;
    return true;
  }

  async function ask(): Promise<void> {
    try {
      const isNews = take(await fetchText(source, ending.signal));
      if (isNews) await writeDurably(file, last ?? "");
      problem = "";
    } catch (error) {
      const words = messageOf(error);
      if (words !== problem && !ending.signal.aborted)
        world.log.warn({ url: source.url, error: words }, "static pods could not be asked for");
      problem = words;
    }
  }

  async function begin(): Promise<void> {
    await ask();
    if (last !== undefined) return;
    const before = await readFile(file, "utf8").catch(() => "");
    try {
      if (before) take(before);
    } catch (error) {
      world.log.warn({ file, error: messageOf(error) }, "this file has no static pods");
    }
  }

  return {
    async load() {
      const nowMs = world.clock.monotonic();
      if (!source.url || nowMs < againMs) return;
      const isFirst = againMs === Number.NEGATIVE_INFINITY;
      againMs = nowMs + source.checkMs;
      if (isFirst) await begin();
      else void ask();
    },
    pods: () => known,
    stop: () => ending.abort(),
  };
}

/** Throws an `Error` where anything in the answer is no pod: then all of it is not believed. Pure. */
export function podsOf(
  content: string,
  { url, nodeName, nowMs }: { url: string; nodeName: string; nowMs: number },
): corev1.Pod[] {
  if (!content.trim()) throw new ManifestError(`zero-length data received from ${url}`);
  const value: unknown = parse(content, { maxAliasCount: 100, logLevel: "error" });
  const { kind, items } = Object(value) as Partial<corev1.PodList>;
  const each =
    kind === "PodList" || kind === ("List" as string) ? (Array.isArray(items) ? items : []) : [value];
  return each.map((one) => {
    // In a list that is typed its members need not say what they are.
    const whole = kind === "PodList" ? { apiVersion: "v1", kind: "Pod", ...Object(one) } : one;
    return staticPodOf(JSON.stringify(whole), { url, nodeName, nowMs });
  });
}

function fetchText({ url, headers }: UrlSource, ending: AbortSignal): Promise<string> {
  const send = url.startsWith("https:") ? httpsRequest : httpRequest;
  const signal = AbortSignal.any([ending, AbortSignal.timeout(timeoutMs)]);
  return new Promise((resolve, reject) => {
    const request = send(url, { headers: headers as Record<string, string[]>, agent: false, signal });
    request.on("error", reject);
    request.on("response", (response) => void bodyOf(response, url).then(resolve, reject));
    request.end();
  });
}

async function bodyOf(response: IncomingMessage, url: string): Promise<string> {
  const { statusCode = 0, statusMessage = "" } = response;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > answerMaxBytes) throw new Error(`${url} answers more than ${answerMaxBytes} bytes`);
    chunks.push(chunk);
  }
  if (statusCode !== 200) throw new Error(`${url}: ${statusCode} ${statusMessage}`);
  return Buffer.concat(chunks).toString("utf8");
}
