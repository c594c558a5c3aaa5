/** kubectl as it is typed, in the test's own namespace; what it reads is given as an object. */
import type { Given } from "../suite.ts";

export function kubectl(
  { kubectl: runner, namespace }: Given,
  args: string,
  input?: object,
): Promise<string> {
  const options = input ? { input: JSON.stringify(input) } : {};
  return runner.ok(["--namespace", namespace, ...args.split(" ")], options);
}
