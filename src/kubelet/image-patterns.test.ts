import { expect, test } from "vitest";
import { matchesImage } from "./image-patterns.ts";

test.each([
  ["registry.io", "registry.io/web:1", true],
  ["registry.io/team", "registry.io/team/web", true],
  ["registry.io/other", "registry.io/team/web", false],
  ["*.registry.io", "eu.registry.io/web", true],
  ["*.registry.io", "a.eu.registry.io/web", false],
  ["eu-*.registry.io", "eu-1.registry.io/web", true],
  ["registry.io:5000", "registry.io/web", false],
  ["registry.io:5000", "registry.io:5000/web", true],
  ["docker.io/library", "web", true],
])("%s fits %s: %s", (pattern, image, fits) => {
  expect(matchesImage(pattern, image)).toBe(fits);
});
