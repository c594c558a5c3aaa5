#!/usr/bin/env node
/** The project's own tasks (`npm run check`, `npm test`, …) under the right Node, on a fresh clone too. */
"use strict";
const { spawnSync } = require("node:child_process");
const path = require("node:path");
const { root, fail, ensureNode, ensurePackages, ensureBuild } = require("./bootstrap.cjs");

const [task, ...args] = process.argv.slice(2);
const node = ensureNode();
ensurePackages();
const tool = (name) => path.join(root, "node_modules", ".bin", name);
const env = { ...process.env, PATH: `${path.dirname(node)}${path.delimiter}${process.env.PATH}` };

/** Runs each step; the first failure ends the task. */
function steps(...list) {
  for (const [command, ...rest] of list) {
    const result = spawnSync(command, rest, { cwd: root, env, stdio: "inherit" });
    if (result.status !== 0) process.exit(result.status ?? 1);
  }
}

const tasks = {
  check: () =>
    steps([tool("biome"), "check", "--error-on-warnings"], [tool("tsc"), "--noEmit"], [tool("knip")]),
  fix: () => steps([tool("biome"), "check", "--write"]),
  generate: () => steps([node, "scripts/generate-api.ts", ...args]),
  build: () => steps([node, "scripts/build.ts"], [node, "scripts/build-types.ts"]),
  test: () => steps([tool("vitest"), "run", "--project", "unit", ...args]),
  e2e: () => {
    ensureBuild(node);
    steps([tool("vitest"), "run", "--project", "e2e", ...args]);
  },
  machine: () => {
    ensureBuild(node);
    steps([tool("vitest"), "run", "--project", "machine", ...args]);
  },
  conformance: () => {
    ensureBuild(node);
    if (args.includes("--write")) env.CONFORMANCE_WRITE = "1";
    const rest = args.filter((arg) => arg !== "--write");
    const reporters = ["--reporter=default", "--reporter=./test/conformance/report.ts"];
    steps([tool("vitest"), "run", "--project", "conformance", ...reporters, ...rest]);
  },
  bench: () => {
    ensureBuild(node);
    steps([node, "bench/run.ts", ...args]);
  },
};
if (!tasks[task]) fail(`no task ${task}`, `one of: ${Object.keys(tasks).join(", ")}`);
tasks[task]();
