export type { PortRange } from "./admission/service-allocation.ts";
export type { StaticToken } from "./authentication/authenticator.ts";
export type { SigningKey } from "./authentication/service-account-tokens.ts";
export type { ComponentPolicy } from "./authorization/policy/install.ts";
export type { Extension } from "./http/extensions.ts";
export { type ApiServer, type ApiServerOptions, startApiServer } from "./server.ts";
export type { User } from "./user.ts";
