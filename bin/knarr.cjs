#!/usr/bin/env node
/** The launcher: brings Node and the packages where missing, then hands over to the command line in `dist/`. */
"use strict";
const { spawn } = require("node:child_process");
const path = require("node:path");
const { root, isClone, ensureNode, ensurePackages, ensureBuild } = require("./bootstrap.cjs");

const node = ensureNode();
ensurePackages();
ensureBuild(node);
// A node's agent is to be small: docs/decisions/0015-memory.md.
const isAgent = process.argv[2] === "agent";
const flags = isAgent ? ["--max-semi-space-size=1", "--max-opt=2"] : [];
const env = { ...process.env, KNARR_COMMAND: isClone ? "./knarr" : "knarr" };
if (isAgent) {
  env.MALLOC_ARENA_MAX = "1";
  // It trusts the authority of its cluster and nobody else.
  delete env.NODE_EXTRA_CA_CERTS;
}
const child = spawn(
  node,
  [
    "--disable-warning=ExperimentalWarning",
    ...flags,
    path.join(root, "dist", "knarr.js"),
    ...process.argv.slice(2),
  ],
  {
    stdio: "inherit",
    env,
  },
);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) =>
  process.exit(signal ? 128 + require("node:os").constants.signals[signal] : code),
);
