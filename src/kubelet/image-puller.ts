/**
 * Makes sure the image of a container is there: pull policy, credentials, back-off and upstream's words.
 * https://kubernetes.io/docs/concepts/containers/images/
 */
import { type corev1, imagePullPolicyOf } from "#api";
import type { Clock, Rate } from "#base";
import { type ContainerRuntime, type Image, RuntimeError, referenceProblem, rpcWords } from "#contracts";
import { goDuration, KeyedBackoff } from "./backoff.ts";
import { type Login, loginsFor } from "./image-credentials.ts";
import type { ImageRecords } from "./image-records.ts";

export class ImageError extends Error {
  override name = "ImageError";
  /** `ErrImagePull`, `ImagePullBackOff`, `ErrImageNeverPull`, `InvalidImageName`, `ImageInspectError`, or the runtime's own. */
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
  /** How often one may begin; default: without limit. */
  rate?: Pick<Rate, "tryTake">;
  records: ImageRecords;
  /** Of programs of the node, for the pod. */
  loginsFor?(image: string, pod: Readonly<corev1.Pod>): Promise<Login[]>;
}

export class ImagePuller {
  readonly #runtime: ContainerRuntime;
  readonly #clock: Clock;
  readonly #parallelMax: number;
  readonly #loginsFor: NonNullable<ImagePullerOptions["loginsFor"]>;
  readonly #records: ImageRecords;
  readonly #backoff = new KeyedBackoff();
  /** Keys are `<pod uid>_<image>`. */
  readonly #failures = new Map<string, { atMs: number; reason: string; message: string }>();
  readonly #waiting: (() => void)[] = [];
  readonly #rate: ImagePullerOptions["rate"];
  #running = 0;

  constructor(options: ImagePullerOptions) {
    this.#loginsFor = options.loginsFor ?? (async () => []);
    this.#records = options.records;
    this.#runtime = options.runtime;
    this.#clock = options.clock;
    this.#parallelMax = options.parallelMax;
    this.#rate = options.rate;
  }

  /** The image of a container, present; throws `ImageError`. */
  async ensure(
    pod: Readonly<corev1.Pod>,
    container: Readonly<corev1.Container>,
    pullSecrets: readonly Readonly<corev1.Secret>[],
    say: Say,
  ): Promise<Image> {
    const image = container.image ?? "";
    const problem = referenceProblem(image);
    if (problem) {
      const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": ${problem}`;
      say("Warning", "InspectFailed", message);
      throw new ImageError("InvalidImageName", message);
    }
    const policy = container.imagePullPolicy ?? imagePullPolicyOf(image);
    const ofSecrets = loginsFor(image, pullSecrets);
    /** Asked for late: programs may take their time, and mostly nobody needs them. */
    const allLogins = async () => [...ofSecrets, ...(await this.#loginsFor(image, pod))];
    const present = policy === "Always" ? undefined : await this.#inspect(image);
    if (present && (await this.#mayUse(image, present.id, ofSecrets, allLogins))) {
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
        `Back-off pulling image "${image}": ${failed.reason}: ${failed.message}`,
      );
    }
    return this.#pull(key, image, allLogins, say);
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

  async #mayUse(
    image: string,
    id: string,
    ofSecrets: readonly Login[],
    all: () => Promise<readonly Login[]>,
  ): Promise<boolean> {
    if (await this.#records.mayUse(image, id, ofSecrets)) return true;
    const logins = await all();
    return logins.length > ofSecrets.length && this.#records.mayUse(image, id, logins);
  }

  /** One login after the other; without any, as anybody. Answers what it came with. */
  async #pullWithAny(image: string, logins: readonly Login[]): Promise<Login | undefined> {
    const problems: unknown[] = [];
    for (const login of logins.length > 0 ? logins : [undefined]) {
      try {
        await this.#inTurn(() => this.#pullOnce(image, login));
        return login;
      } catch (error) {
        problems.push(error);
      }
    }
    const words = [...new Set(problems.map(pullWords))];
    throw words.length === 1 ? problems[0] : new Error(`[${words.join(", ")}]`);
  }

  async #pullOnce(image: string, login: Login | undefined): Promise<void> {
    if (this.#rate?.tryTake() === false) throw new Error("pull QPS exceeded");
    await this.#runtime.pullImage(image, login?.auth);
  }

  async #pull(key: string, image: string, logins: () => Promise<readonly Login[]>, say: Say): Promise<Image> {
    const startedMs = this.#clock.monotonic();
    say("Normal", "Pulling", `Pulling image "${image}"`);
    await this.#records.begin(image);
    let got: { id: string; login: Login | undefined } | undefined;
    try {
      const login = await this.#pullWithAny(image, await logins());
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
      const words = pullWords(error);
      say("Warning", "Failed", `Failed to pull image "${image}": ${words}`);
      const { reason, message } = pullProblem(image, words);
      this.#failures.set(key, { atMs: nowMs, reason, message });
      throw new ImageError(reason, message);
    } finally {
      await this.#records.end(image, got?.id, got?.login);
    }
  }
}

/** As upstream's client of the runtime, which leaves out a code that says nothing. */
function pullWords(error: unknown): string {
  return error instanceof RuntimeError && error.code === "UNKNOWN" ? error.message : rpcWords(error);
}

/** What a runtime may begin its words with, to tell what kind of failure it is. */
const knownProblems = {
  RegistryUnavailable: "the registry is unavailable",
  SignatureValidationFailed: "the signature validation failed",
};

function pullProblem(image: string, words: string): { reason: string; message: string } {
  for (const [reason, why] of Object.entries(knownProblems)) {
    if (!words.startsWith(reason)) continue;
    return { reason, message: `image pull failed for ${image} because ${why}${words.slice(reason.length)}` };
  }
  return { reason: "ErrImagePull", message: words };
}

/** `back-off 10s restarting failed container=web pod=web-1_default(uid)`. */
export function crashLoopMessage(delayMs: number, pod: Readonly<corev1.Pod>, container: string): string {
  const { name, namespace, uid } = pod.metadata;
  return `back-off ${goDuration(delayMs)} restarting failed container=${container} pod=${name}_${namespace}(${uid})`;
}
