/**
 * Makes sure the image of a container is there: pull policy, credentials, back-off and upstream's words.
 * https://kubernetes.io/docs/concepts/containers/images/
 */
import { type corev1, imagePullPolicyOf } from "#api";
import type { Clock } from "#base";
import {
  type AuthConfig,
  type ContainerRuntime,
  type Image,
  isReference,
  RuntimeError,
  rpcWords,
} from "#contracts";
import { goDuration, KeyedBackoff } from "./backoff.ts";
import { type Login, loginsFor } from "./image-credentials.ts";
import type { ImageRecords } from "./image-records.ts";

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

export interface ImagePullerOptions {
  runtime: ContainerRuntime;
  clock: Clock;
  /** So many pulls at once. */
  parallelMax: number;
  records: ImageRecords;
  /** For images that no secret of their pod has a login for. */
  loginFor?(image: string): Promise<AuthConfig | undefined>;
}

export class ImagePuller {
  readonly #runtime: ContainerRuntime;
  readonly #clock: Clock;
  readonly #parallelMax: number;
  readonly #loginFor: (image: string) => Promise<AuthConfig | undefined>;
  readonly #records: ImageRecords;
  readonly #backoff = new KeyedBackoff();
  /** Keys are `<pod uid>_<image>`. */
  readonly #failures = new Map<string, { atMs: number; message: string }>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: ImagePullerOptions) {
    this.#loginFor = options.loginFor ?? (async () => undefined);
    this.#records = options.records;
    this.#runtime = options.runtime;
    this.#clock = options.clock;
    this.#parallelMax = options.parallelMax;
  }

  /** The image of a container, present; throws `ImageError`. */
  async ensure(
    pod: Readonly<corev1.Pod>,
    container: Readonly<corev1.Container>,
    pullSecrets: readonly Readonly<corev1.Secret>[],
    say: Say,
  ): Promise<Image> {
    const image = container.image ?? "";
    if (!isReference(image)) {
      const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`;
      say("Warning", "InspectFailed", message);
      throw new ImageError("InvalidImageName", message);
    }
    const policy = container.imagePullPolicy ?? imagePullPolicyOf(image);
    const logins = loginsFor(image, pullSecrets);
    const present = policy === "Always" ? undefined : await this.#inspect(image);
    if (present && (await this.#records.mayUse(image, present.id, logins))) {
      say(
        "Normal",
        "Pulled",
        `Container image "${image}" already present on machine and can be accessed by the pod`,
      );
      return present;
    }
    if (policy === "Never") {
      const message = `Container image "${image}" is not present with pull policy of Never`;
      say("Warning", "ErrImageNeverPull", message);
      throw new ImageError("ErrImageNeverPull", message);
    }
    const key = `${pod.metadata.uid}_${image}`;
    const failed = this.#failures.get(key);
    if (failed && this.#backoff.remainingMs(key, failed.atMs, this.#clock.now()) > 0) {
      say("Normal", "BackOff", `Back-off pulling image "${image}"`);
      throw new ImageError(
        "ImagePullBackOff",
        `Back-off pulling image "${image}": ErrImagePull: ${failed.message}`,
      );
    }
    return this.#pull(key, image, logins, say);
  }

  /** When a pod whose pull is held back should be looked at again. */
  remainingMs(pod: Readonly<corev1.Pod>): number {
    let soonest = Number.POSITIVE_INFINITY;
    for (const [key, { atMs }] of this.#failures) {
      if (!key.startsWith(`${pod.metadata.uid}_`)) continue;
      soonest = Math.min(soonest, this.#backoff.remainingMs(key, atMs, this.#clock.now()));
    }
    return soonest;
  }

  forget(podUid: string): void {
    this.#backoff.forget(`${podUid}_`);
    for (const key of this.#failures.keys()) if (key.startsWith(`${podUid}_`)) this.#failures.delete(key);
  }

  /** At most so many pulls at once as the node is told. */
  async #inTurn<T>(pull: () => Promise<T>): Promise<T> {
    if (this.#running < this.#parallelMax) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await pull();
    } finally {
      // The turn goes on to whoever waits: nobody gets in between.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  #inspect(image: string): Promise<Image | undefined> {
    return this.#runtime.imageStatus(image).catch((error: unknown) => {
      throw new ImageError("ImageInspectError", `Failed to inspect image "${image}": ${rpcWords(error)}`);
    });
  }

  /** One login after the other, then those of the node; without any, as anybody. Answers what it came with. */
  async #pullWithAny(image: string, logins: readonly Login[]): Promise<Login | undefined> {
    const own = logins.length > 0 ? undefined : await this.#loginFor(image);
    const all = own ? [{ auth: own, secret: undefined }] : logins.length > 0 ? logins : [undefined];
    const problems: unknown[] = [];
    for (const login of all) {
      try {
        await this.#inTurn(() => this.#runtime.pullImage(image, login?.auth));
        return login;
      } catch (error) {
        problems.push(error);
      }
    }
    throw problems.length === 1 ? problems[0] : new Error(`[${problems.map(pullWords).join(", ")}]`);
  }

  async #pull(key: string, image: string, logins: readonly Login[], say: Say): Promise<Image> {
    const startedMs = this.#clock.monotonic();
    say("Normal", "Pulling", `Pulling image "${image}"`);
    await this.#records.begin(image);
    let got: { id: string; login: Login | undefined } | undefined;
    try {
      const login = await this.#pullWithAny(image, logins);
      const pulled = await this.#inspect(image);
      if (!pulled) throw new Error("the image is not there after it was pulled");
      got = { id: pulled.id, login };
      this.#failures.delete(key);
      const took = `${Math.round(this.#clock.monotonic() - startedMs)}ms`;
      const size = `Image size: ${pulled.size} bytes.`;
      say(
        "Normal",
        "Pulled",
        `Successfully pulled image "${image}" in ${took} (${took} including waiting). ${size}`,
      );
      return pulled;
    } catch (error) {
      const nowMs = this.#clock.now();
      this.#backoff.next(key, nowMs, nowMs);
      const message = pullWords(error);
      this.#failures.set(key, { atMs: nowMs, message });
      say("Warning", "Failed", `Failed to pull image "${image}": ${message}`);
      throw new ImageError("ErrImagePull", message);
    } finally {
      await this.#records.end(image, got?.id, got?.login);
    }
  }
}

/** As upstream's client of the runtime, which leaves out a code that says nothing. */
function pullWords(error: unknown): string {
  return error instanceof RuntimeError && error.code === "UNKNOWN" ? error.message : rpcWords(error);
}

/** `back-off 10s restarting failed container=web pod=web-1_default(uid)`. */
export function crashLoopMessage(delayMs: number, pod: Readonly<corev1.Pod>, container: string): string {
  const { name, namespace, uid } = pod.metadata;
  return `back-off ${goDuration(delayMs)} restarting failed container=${container} pod=${name}_${namespace}(${uid})`;
}
