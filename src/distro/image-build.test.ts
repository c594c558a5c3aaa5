import { expect, test } from "vitest";
import { baseImages } from "./image-build.ts";

test("what a Containerfile builds upon, but for its own stages and what only the build knows", () => {
  const text = `# syntax=docker/dockerfile:1
ARG version=1
FROM --platform=linux/amd64 golang:1.25 AS build
from build as tested
FROM busybox:\${version}
FROM scratch
  FROM quay.io/a/b@sha256:${"0".repeat(64)}
FROM golang:1.25
COPY --from=build /app /app
`;
  expect(baseImages(text)).toEqual(["golang:1.25", `quay.io/a/b@sha256:${"0".repeat(64)}`]);
  expect(baseImages("")).toEqual([]);
});
