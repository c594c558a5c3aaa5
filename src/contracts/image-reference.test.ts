import fc from "fast-check";
import { expect, test } from "vitest";
import { isReference, normalizeReference, referenceProblem, registryOf } from "./image-reference.ts";

test.each([
  ["web", "docker.io/library/web:latest"],
  ["web:1", "docker.io/library/web:1"],
  ["team/web", "docker.io/team/web:latest"],
  ["localhost/web", "localhost/web:latest"],
  ["localhost:5000/web:2", "localhost:5000/web:2"],
  ["quay.io/a/b", "quay.io/a/b:latest"],
  ["index.docker.io/web", "docker.io/library/web:latest"],
  [`quay.io/a/b@sha256:${"0".repeat(64)}`, `quay.io/a/b@sha256:${"0".repeat(64)}`],
])("%s is %s", (name, whole) => {
  expect(normalizeReference(name)).toBe(whole);
  expect(isReference(name)).toBe(true);
});

test.each(["", "Web", "a b", "web:", "/web", "web//x", "a:b:c", "web@sha256:12", "x".repeat(600)])(
  "%s is refused",
  (name) => {
    expect(isReference(name)).toBe(false);
  },
);

test("normalizing a name that is a reference is idempotent", () => {
  const part = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  const name = fc
    .tuple(fc.array(part, { minLength: 1, maxLength: 3 }), fc.option(fc.stringMatching(/^[a-z0-9.]{1,6}$/)))
    .map(([parts, tag]) => parts.join("/") + (tag ? `:${tag}` : ""))
    .filter(isReference);
  fc.assert(
    fc.property(name, (n) => {
      const whole = normalizeReference(n);
      return isReference(whole) && normalizeReference(whole) === whole;
    }),
  );
});

test("an image that names no registry comes from Docker's", () => {
  expect(["web", "team/web", "index.docker.io/web", "quay.io/a", "localhost:5000/a"].map(registryOf)).toEqual(
    ["docker.io", "docker.io", "docker.io", "quay.io", "localhost:5000"],
  );
});

test.each([
  ["", "invalid reference format"],
  ["a b", "invalid reference format"],
  ["Web", "invalid reference format: repository name (library/Web) must be lowercase"],
  ["quay.io/Team/web:1", "invalid reference format: repository name (Team/web) must be lowercase"],
  ["Team/web", undefined],
  ["web:Stable", undefined],
  ["0".repeat(64), `invalid repository name (${"0".repeat(64)}), cannot specify 64-byte hexadecimal strings`],
  ["x".repeat(300), "repository name must not be more than 255 characters"],
])("%s: %s", (name, problem) => {
  expect(referenceProblem(name)).toBe(problem);
});
