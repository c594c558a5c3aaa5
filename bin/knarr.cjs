#!/usr/bin/env node
/** The launcher: brings Node and the packages where missing, then hands over to the command line in `dist/`. */
"use strict";
const { spawn } = require("node:child_process");
const path = require("node:path");
const { root, isClone, ensureNode, ensurePackages, ensureBuild } = require("./bootstrap.cjs");

const node = ensureNode();
ensurePackages();
ensureBuild(node);
// What lives briefly in a node's agent is little: a small nursery is half of its memory.
const flags = process.argv[2] === "agent" ? ["--max-semi-space-size=4"] : [];
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
    env: { ...process.env, KNARR_COMMAND: isClone ? "./knarr" : "knarr" },
  },
);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) =>
  process.exit(signal ? 128 + require("node:os").constants.signals[signal] : code),
);
