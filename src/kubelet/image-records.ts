/**
 * With whose credentials images came to this node: a pod may use one that is there only where it could have pulled it.
 * https://kubernetes.io/docs/concepts/containers/images/#ensureimagepullcredentialverification
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { messageOf, type World, writeDurably } from "#base";
import type { KubeletConfig } from "./config/settings.ts";
import type { AccountReference, Login, SecretReference } from "./image-credentials.ts";
import { repositoryOf } from "./image-patterns.ts";

interface Access {
  /** It came without a login, or with one of the node's own. */
  nodePodsAccessible?: boolean;
  kubernetesSecrets?: SecretReference[];
  kubernetesServiceAccounts?: AccountReference[];
}

interface PulledRecord {
  imageRef: string;
  /** By the image's name without tag and digest. */
  credentialMapping: Record<string, Access>;
}

type Policy = Pick<KubeletConfig, "imageVerification" | "imagesNotVerified">;

export interface ImageRecords {
  /** Whether a pod with these logins may use the image that is there. */
  mayUse(image: string, imageId: string, logins: readonly Login[]): Promise<boolean>;
  /** Written before a pull: what came by an interrupted one was not there before. */
  begin(image: string): Promise<void>;
  /** The pull has ended; with an image, this login has got it. */
  end(image: string, imageId?: string, login?: Login): Promise<void>;
}

const loginsMax = 100;

const fileOf = (dir: string, key: string) =>
  join(dir, `sha256-${createHash("sha256").update(key).digest("hex")}`);

/** What the policy lets everybody use: `wasPulled` by this kubelet, and not there before it. Pure. */
export function isExempt(
  { imageVerification, imagesNotVerified }: Policy,
  image: string,
  wasPulled: boolean,
) {
  if (imageVerification === "NeverVerify") return true;
  if (imageVerification === "NeverVerifyPreloadedImages") return !wasPulled;
  if (imageVerification === "AlwaysVerify") return false;
  const repository = repositoryOf(image);
  return imagesNotVerified.some((each) =>
    each.endsWith("/*") ? repository.startsWith(each.slice(0, -1)) : repository === each,
  );
}

const isSame = (a: AccountReference, b: AccountReference) =>
  a.uid === b.uid && a.name === b.name && a.namespace === b.namespace;

/** Whether one of the logins is known to open it: the same one, another of the same secret, or its account's. Pure. */
export function isOpenTo(access: Access | undefined, logins: readonly Login[]): boolean {
  if (access?.nodePodsAccessible) return true;
  const { kubernetesSecrets = [], kubernetesServiceAccounts = [] } = access ?? {};
  return logins.some(
    ({ secret, account }) =>
      (secret &&
        kubernetesSecrets.some(
          (known) => known.credentialHash === secret.credentialHash || isSame(known, secret),
        )) ||
      (account && kubernetesServiceAccounts.some((known) => isSame(known, account))),
  );
}

/** The record with one more login; the same secret counts once, with what it holds now. Pure. */
export function withLogin(access: Access | undefined, login: Login | undefined): Access {
  const { secret, account } = login ?? {};
  if (!secret && !account) return { nodePodsAccessible: true };
  if (access?.nodePodsAccessible) return access;
  return {
    ...access,
    ...(secret ? { kubernetesSecrets: withOne(access?.kubernetesSecrets, secret) } : {}),
    ...(account ? { kubernetesServiceAccounts: withOne(access?.kubernetesServiceAccounts, account) } : {}),
  };
}

const withOne = <R extends AccountReference>(known: readonly R[] = [], one: R): R[] =>
  [...known.filter((each) => !isSame(each, one)), one].slice(-loginsMax);

/** `dir`: `image_manager`. */
export function createImageRecords(dir: string, policy: Policy, { log }: World): ImageRecords {
  const [pulledDir, pullingDir] = [join(dir, "pulled"), join(dir, "pulling")];
  const pulling = new Map<string, number>();
  let interrupted: Promise<Set<string>> | undefined;
  let made = false;

  async function makeFolders(): Promise<void> {
    if (made) return;
    await mkdir(pulledDir, { recursive: true, mode: 0o700 });
    await mkdir(pullingDir, { recursive: true, mode: 0o700 });
    made = true;
  }

  async function read(imageId: string): Promise<PulledRecord | undefined> {
    try {
      return JSON.parse(await readFile(fileOf(pulledDir, imageId), "utf8")) as PulledRecord;
    } catch {
      return undefined;
    }
  }

  async function write(file: string, value: object): Promise<void> {
    await makeFolders();
    await writeDurably(file, JSON.stringify(value));
  }

  const keyOf = (image: string) => basename(fileOf("", image));

  /** The pulls that an earlier kubelet did not see the end of: what is there before any of this one's. */
  async function interruptedPulls(): Promise<Set<string>> {
    interrupted ??= readdir(pullingDir).then(
      (names) => new Set(names),
      () => new Set<string>(),
    );
    return interrupted;
  }

  return {
    async mayUse(image, imageId, logins) {
      const record = await read(imageId);
      const wasInterrupted = (await interruptedPulls()).has(keyOf(image));
      const wasPulled = record !== undefined || pulling.has(image) || wasInterrupted;
      if (isExempt(policy, image, wasPulled)) return true;
      return isOpenTo(record?.credentialMapping[repositoryOf(image)], logins);
    },
    async begin(image) {
      pulling.set(image, (pulling.get(image) ?? 0) + 1);
      await interruptedPulls();
      await write(fileOf(pullingDir, image), { image });
    },
    async end(image, imageId, login) {
      const left = (pulling.get(image) ?? 1) - 1;
      if (left > 0) pulling.set(image, left);
      else pulling.delete(image);
      try {
        if (imageId !== undefined) {
          const known = await read(imageId);
          const name = repositoryOf(image);
          const access = withLogin(known?.credentialMapping[name], login);
          const credentialMapping = { ...known?.credentialMapping, [name]: access };
          await write(fileOf(pulledDir, imageId), { imageRef: imageId, credentialMapping });
        }
        if (left > 0) return;
        await rm(fileOf(pullingDir, image), { force: true });
        (await interruptedPulls()).delete(keyOf(image));
      } catch (error) {
        log.warn({ image, error: messageOf(error) }, "who may use an image could not be written down");
      }
    },
  };
}

/** Records of images that are gone say nothing any more. */
export async function pruneImageRecords(dir: string, imageIds: readonly string[]): Promise<void> {
  const pulledDir = join(dir, "pulled");
  const present = new Set(imageIds.map((id) => fileOf(pulledDir, id)));
  for (const name of await readdir(pulledDir).catch(() => []))
    if (!present.has(join(pulledDir, name))) await rm(join(pulledDir, name), { force: true });
}
