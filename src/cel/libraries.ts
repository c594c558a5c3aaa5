/** Kubernetes' own functions. https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries */
import type { Environment } from "@marcbachmann/cel-js";
import { registerHasField } from "./has-field.ts";
import { registerAddresses } from "./libraries/addresses.ts";
import { registerFormats } from "./libraries/formats.ts";
import { registerLists } from "./libraries/lists.ts";
import { registerQuantity } from "./libraries/quantity.ts";
import { registerSemver } from "./libraries/semver.ts";
import { registerStrings } from "./libraries/strings.ts";
import { registerUrls } from "./libraries/urls.ts";

export function registerLibraries(environment: Environment): Environment {
  for (const register of [
    registerHasField,
    registerStrings,
    registerLists,
    registerUrls,
    registerQuantity,
    registerAddresses,
    registerFormats,
    registerSemver,
  ])
    register(environment);
  return environment;
}
