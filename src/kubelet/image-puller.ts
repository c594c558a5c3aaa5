/**
 * Makes sure the image of a container is there: pull policy, credentials, back-off and upstream's words.
 * https://kubernetes.io/docs/concepts/containers/images/
 */
import { type corev1, imagePullPolicyOf } from "#api";
import { type Clock, messageOf } from "#base";
import { type AuthConfig, type ContainerRuntime, type Image, isReference } from "#contracts";
import { goDuration, KeyedBackoff } from "./backoff.ts";
import { credentialsFor } from "./image-credentials.ts";

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

export class ImagePuller {
  readonly #runtime: ContainerRuntime;
  readonly #clock: Clock;
  readonly #parallelMax: number;
  readonly #loginFor: (image: string) => Promise<AuthConfig | undefined>;
  readonly #backoff = new KeyedBackoff();
  /** Keys are `<pod uid>_<image>`. */
  readonly #failures = new Map<string, { atMs: number; message: string }>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /** `loginFor`: for images that no secret of their pod has a login for. */
  constructor(
    runtime: ContainerRuntime,
    clock: Clock,
    parallelMax: number,
    loginFor: (image: string) => Promise<AuthConfig | undefined> = async () => undefined,
  ) {
    this.#loginFor = loginFor;
    this.#runtime = runtime;
    this.#clock = clock;
    this.#parallelMax = parallelMax;
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
    const present = policy === "Always" ? undefined : await this.#inspect(image);
    if (present) {
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
    const login = credentialsFor(image, pullSecrets) ?? (await this.#loginFor(image));
    return this.#pull(key, image, login, say);
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
      throw new ImageError("ImageInspectError", `Failed to inspect image "${image}": ${messageOf(error)}`);
    });
  }

  async #pull(key: string, image: string, auth: AuthConfig | undefined, say: Say): Promise<Image> {
    const startedMs = this.#clock.monotonic();
    say("Normal", "Pulling", `Pulling image "${image}"`);
    try {
      await this.#inTurn(() => this.#runtime.pullImage(image, auth));
      const pulled = await this.#inspect(image);
      if (!pulled) throw new Error("the image is not there after it was pulled");
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
      this.#failures.set(key, { atMs: nowMs, message: messageOf(error) });
      say("Warning", "Failed", `Failed to pull image "${image}": ${messageOf(error)}`);
      throw new ImageError("ErrImagePull", `failed to pull image "${image}": ${messageOf(error)}`);
    }
  }
}

/** `back-off 10s restarting failed container=web pod=web-1_default(uid)`. */
export function crashLoopMessage(delayMs: number, pod: Readonly<corev1.Pod>, container: string): string {
  const { name, namespace, uid } = pod.metadata;
  return `back-off ${goDuration(delayMs)} restarting failed container=${container} pod=${name}_${namespace}(${uid})`;
}
