/**
 * `authentication` and `authorization`: who those are that use the kubelet's server, and who says what they may. Pure.
 * https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/
 */
import { formatGoDuration } from "#base";
import { type Codec, duration, flag, objectOf, text } from "./codecs.ts";
import type { AuthenticationSettings, AuthorizationSettings } from "./settings.ts";

type Entries = Record<string, unknown>;

/** The objects of these names, empty where they are absent. Throws an `Error` for others. */
function partsOf(value: unknown, ...names: string[]): Entries[] {
  const given = objectOf(value);
  const other = Object.keys(given).find((each) => !names.includes(each));
  if (other !== undefined) throw new Error(`unknown field "${other}"`);
  return names.map((name) => objectOf(given[name] ?? {}));
}

function onlyFields(part: Entries, ...names: string[]): void {
  const other = Object.keys(part).find((each) => !names.includes(each));
  if (other !== undefined) throw new Error(`unknown field "${other}"`);
}

const flagOr = (value: unknown, otherwise: boolean) => (value == null ? otherwise : flag.read(value));
/** Zero stands for the default. */
const durationOr = (value: unknown, otherwise: number) =>
  (value == null ? 0 : duration.read(value)) || otherwise;

export function authenticationCodec(defaults: AuthenticationSettings): Codec<AuthenticationSettings> {
  return {
    read(value) {
      const [anonymous = {}, webhook = {}, x509 = {}] = partsOf(value, "anonymous", "webhook", "x509");
      onlyFields(anonymous, "enabled");
      onlyFields(webhook, "enabled", "cacheTTL");
      onlyFields(x509, "clientCAFile");
      return {
        anonymous: flagOr(anonymous.enabled, defaults.anonymous),
        tokens: flagOr(webhook.enabled, defaults.tokens),
        tokenMs: durationOr(webhook.cacheTTL, defaults.tokenMs),
      };
    },
    show: ({ anonymous, tokens, tokenMs }) => ({
      x509: {},
      webhook: { enabled: tokens, cacheTTL: formatGoDuration(tokenMs) },
      anonymous: { enabled: anonymous },
    }),
  };
}

export function authorizationCodec(defaults: AuthorizationSettings): Codec<AuthorizationSettings> {
  return {
    read(value) {
      const { mode, ...rest } = objectOf(value);
      const [webhook = {}] = partsOf(rest, "webhook");
      onlyFields(webhook, "cacheAuthorizedTTL", "cacheUnauthorizedTTL");
      return {
        mode: (mode == null ? "" : text.read(mode)) || defaults.mode,
        allowedMs: durationOr(webhook.cacheAuthorizedTTL, defaults.allowedMs),
        deniedMs: durationOr(webhook.cacheUnauthorizedTTL, defaults.deniedMs),
      };
    },
    show: ({ mode, allowedMs, deniedMs }) => ({
      mode,
      webhook: {
        cacheAuthorizedTTL: formatGoDuration(allowedMs),
        cacheUnauthorizedTTL: formatGoDuration(deniedMs),
      },
    }),
  };
}
