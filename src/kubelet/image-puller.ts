/**
 * Makes sure the image of a container is there: pull policy, credentials, back-off and upstream's words.
 * https://kubernetes.io/docs/concepts/containers/images/
 */
import type { corev1 } from "#api";
import { messageOf, type World } from "#base";
import type { AuthConfig, ContainerRuntime, Image } from "#contracts";
import { goDuration, KeyedBackoff } from "./backoff.ts";

export class ImageError extends Error {
  override name = "ImageError";
  /** `ErrImagePull`, `ImagePullBackOff`, `ErrImageNeverPull`, `InvalidImageName`, `ImageInspectError`. */
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

type Say = (kind: "Normal" | "Warning", reason: string, message: string) => void;

export interface ImagePuller {
  ensure(
    pod: Readonly<corev1.Pod>,
    container: Readonly<corev1.Container>,
    pullSecrets: readonly Readonly<corev1.Secret>[],
    say: Say,
  ): Promise<Image>;
  /** When a pod whose pull is held back should be looked at again. */
  remainingMs(pod: Readonly<corev1.Pod>): number;
  forget(podUid: string): void;
}

const namePattern =
  /^(?:(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,})?$/;

/** `Always` where nothing is said and the tag is `latest` or missing. */
export function pullPolicyOf(container: Readonly<corev1.Container>): "Always" | "Never" | "IfNotPresent" {
  if (container.imagePullPolicy) return container.imagePullPolicy;
  const last = (container.image ?? "").split("/").at(-1)!;
  return last.endsWith(":latest") || !/[:@]/.test(last) ? "Always" : "IfNotPresent";
}

export function registryOf(image: string): string {
  const first = image.split("/")[0]!;
  const isHost = image.includes("/") && (first.includes(".") || first.includes(":") || first === "localhost");
  return isHost ? first : "docker.io";
}

interface DockerConfig {
  auths?: Record<string, { username?: string; password?: string; auth?: string; identitytoken?: string }>;
}

/**
 * Credentials for an image from `kubernetes.io/dockerconfigjson` and `dockercfg` secrets; what cannot be read is skipped.
 * https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/
 */
export function credentialsFor(
  image: string,
  secrets: readonly Readonly<corev1.Secret>[],
): AuthConfig | undefined {
  const registry = registryOf(image);
  for (const secret of secrets) {
    const config = dockerConfigOf(secret);
    for (const [key, entry] of Object.entries(config.auths ?? {})) {
      const host = key
        .replace(/^https?:\/\//, "")
        .split("/")[0]!
        .replace(/^(index|registry-1)\./, "");
      if (host !== registry) continue;
      return {
        ...(entry.username ? { username: entry.username } : {}),
        ...(entry.password ? { password: entry.password } : {}),
        ...(entry.auth && !entry.username ? { auth: entry.auth } : {}),
        ...(entry.identitytoken ? { identityToken: entry.identitytoken } : {}),
        serverAddress: registry,
      };
    }
  }
  return undefined;
}

function dockerConfigOf(secret: Readonly<corev1.Secret>): DockerConfig {
  const whole = secret.data?.[".dockerconfigjson"];
  const old = secret.data?.[".dockercfg"];
  try {
    if (whole) return JSON.parse(Buffer.from(whole, "base64").toString("utf8")) as DockerConfig;
    if (old) return { auths: JSON.parse(Buffer.from(old, "base64").toString("utf8")) };
  } catch {
    return {};
  }
  return {};
}

export function createImagePuller(runtime: ContainerRuntime, world: World, parallelMax: number): ImagePuller {
  const { clock } = world;
  const backoff = new KeyedBackoff();
  const failures = new Map<string, { atMs: number; message: string }>();
  const waiting: (() => void)[] = [];
  let running = 0;

  /** At most `parallelMax` pulls at once. */
  async function inTurn<T>(pull: () => Promise<T>): Promise<T> {
    if (running >= parallelMax) await new Promise<void>((resolve) => waiting.push(resolve));
    running++;
    try {
      return await pull();
    } finally {
      running--;
      waiting.shift()?.();
    }
  }

  async function inspect(image: string): Promise<Image | undefined> {
    return runtime.imageStatus(image).catch((error: unknown) => {
      throw new ImageError("ImageInspectError", `Failed to inspect image "${image}": ${messageOf(error)}`);
    });
  }

  async function pull(key: string, image: string, auth: AuthConfig | undefined, say: Say): Promise<Image> {
    const startedMs = clock.monotonic();
    say("Normal", "Pulling", `Pulling image "${image}"`);
    try {
      await inTurn(() => runtime.pullImage(image, auth));
      const pulled = await inspect(image);
      if (!pulled) throw new Error("the image is not there after it was pulled");
      failures.delete(key);
      const took = `${Math.round(clock.monotonic() - startedMs)}ms`;
      const words = `Successfully pulled image "${image}" in ${took} (${took} including waiting). Image size: ${pulled.size} bytes.`;
      say("Normal", "Pulled", words);
      return pulled;
    } catch (error) {
      const message = `failed to pull image "${image}": ${messageOf(error)}`;
      const nowMs = clock.now();
      backoff.next(key, nowMs, nowMs);
      failures.set(key, { atMs: nowMs, message: messageOf(error) });
      say("Warning", "Failed", `Failed to pull image "${image}": ${messageOf(error)}`);
      throw new ImageError("ErrImagePull", message);
    }
  }

  return {
    async ensure(pod, container, pullSecrets, say) {
      const image = container.image ?? "";
      if (image.length > 512 || !namePattern.test(image)) {
        const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`;
        say("Warning", "InspectFailed", message);
        throw new ImageError("InvalidImageName", message);
      }
      const policy = pullPolicyOf(container);
      const present = policy === "Always" ? undefined : await inspect(image);
      if (present) {
        say("Normal", "Pulled", `Container image "${image}" already present on machine`);
        return present;
      }
      if (policy === "Never") {
        say(
          "Warning",
          "ErrImageNeverPull",
          `Container image "${image}" is not present with pull policy of Never`,
        );
        throw new ImageError(
          "ErrImageNeverPull",
          `Container image "${image}" is not present with pull policy of Never`,
        );
      }
      const key = `${pod.metadata.uid}_${image}`;
      const failed = failures.get(key);
      if (failed && backoff.remainingMs(key, failed.atMs, clock.now()) > 0) {
        say("Normal", "BackOff", `Back-off pulling image "${image}"`);
        throw new ImageError(
          "ImagePullBackOff",
          `Back-off pulling image "${image}": ErrImagePull: ${failed.message}`,
        );
      }
      return pull(key, image, credentialsFor(image, pullSecrets), say);
    },
    remainingMs(pod) {
      let soonest = Number.POSITIVE_INFINITY;
      for (const [key, { atMs }] of failures) {
        if (key.startsWith(`${pod.metadata.uid}_`))
          soonest = Math.min(soonest, backoff.remainingMs(key, atMs, clock.now()));
      }
      return soonest;
    },
    forget(podUid) {
      backoff.forget(`${podUid}_`);
      for (const key of failures.keys()) if (key.startsWith(`${podUid}_`)) failures.delete(key);
    },
  };
}

/** `back-off 10s restarting failed container=web pod=web-1_default(uid)`. */
export function crashLoopMessage(delayMs: number, pod: Readonly<corev1.Pod>, container: string): string {
  const { name, namespace, uid } = pod.metadata;
  return `back-off ${goDuration(delayMs)} restarting failed container=${container} pod=${name}_${namespace}(${uid})`;
}
