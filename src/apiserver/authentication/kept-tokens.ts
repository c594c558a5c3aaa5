/**
 * Tokens of ServiceAccounts that are kept in Secrets: good as long as the Secret holds them and is not marked, and the
 * day of their last use is noted there.
 * https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#legacy-serviceaccount-token-tracking-controller
 */
import { timingSafeEqual } from "node:crypto";
import {
  type corev1,
  dayOf,
  invalidSinceLabel,
  lastUsedLabel,
  type ResourceDefinition,
  secrets,
  serviceAccountTokenType,
} from "#api";
import { messageOf } from "#base";
import type { Registry, WriteContext } from "../registry/context.ts";
import { change, mainStrategy } from "../registry/update.ts";
import { authenticatedGroup } from "../user.ts";

type Secret = Readonly<corev1.Secret>;

const definition = secrets as ResourceDefinition;
const context: WriteContext = {
  user: { username: "system:apiserver", groups: ["system:masters", authenticatedGroup] },
  dryRun: false,
};
const dayLengthMs = 24 * 3600_000;

export class KeptTokens {
  readonly #registry: () => Registry;
  /** Being written: one write a day does for all requests. */
  readonly #noting = new Set<string>();

  constructor(registry: () => Registry) {
    this.#registry = registry;
  }

  /** Whether a token that is bound to the Secret is still good. It has been used either way. */
  isGood(secret: Secret, token: string): boolean {
    if (secret.type !== serviceAccountTokenType) return true;
    if (!isTheSame(secret.data?.token, token)) return false;
    this.#note(secret);
    return !secret.metadata.labels?.[invalidSinceLabel];
  }

  #note({ metadata }: Secret): void {
    const { world } = this.#registry().storage;
    const nowMs = world.clock.now();
    const today = dayOf(nowMs);
    const noted = metadata.labels?.[lastUsedLabel];
    // The clock of another server may be ahead.
    if (noted === today || noted === dayOf(nowMs + dayLengthMs) || this.#noting.has(metadata.uid)) return;
    this.#noting.add(metadata.uid);
    this.#write(metadata, today)
      .catch((error) =>
        world.log.debug(
          { secret: metadata.name, error: messageOf(error) },
          "the use of a token is not noted",
        ),
      )
      .finally(() => this.#noting.delete(metadata.uid));
  }

  async #write({ namespace, name, uid }: Secret["metadata"], today: string): Promise<void> {
    const target = { definition, namespace, name };
    await change(this.#registry(), target, context, mainStrategy(definition), (read) => {
      const secret = read();
      if (secret.metadata.uid === uid)
        secret.metadata.labels = { ...secret.metadata.labels, [lastUsedLabel]: today };
      return secret;
    });
  }
}

function isTheSame(kept: string | undefined, token: string): boolean {
  const [a, b] = [Buffer.from(kept ?? "", "base64"), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}
