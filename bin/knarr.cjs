#!/usr/bin/env node
/** The launcher: brings Node and the packages where missing, then hands over to the command line in `dist/`. */
"use strict";
const { spawn } = require("node:child_process");
const path = require("node:path");
const { root, isClone, ensureNode, ensurePackages, ensureBuild } = require("./bootstrap.cjs");

const node = ensureNode();
ensurePackages();
ensureBuild(node);
// What stays running is to be small: docs/decisions/0015-memory.md.
const command = process.argv[2];
const flags =
  command === "agent"
    ? ["--max-semi-space-size=1", "--max-opt=2", "--no-maglev", "--optimize-for-size", "--no-sparkplug"]
    : [];
const env = { ...process.env, KNARR_COMMAND: isClone ? "./knarr" : "knarr" };
if (command === "server") env.MALLOC_ARENA_MAX = "2";
if (command === "agent") {
  env.MALLOC_ARENA_MAX = "1";
  // It trusts the authority of its cluster and nobody else.
  delete env.NODE_EXTRA_CA_CERTS;
}
const args = [
  "--disable-warning=ExperimentalWarning",
  ...flags,
  path.join(root, "dist", "knarr.js"),
  ...process.argv.slice(2),
];
if (process.execve) {
  // This process becomes the command: a launcher that waits beside a server keeps 40 MB.
  process.removeAllListeners("warning");
  process.execve(node, [node, ...args], env);
}
const child = spawn(node, args, { stdio: "inherit", env });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) =>
  process.exit(signal ? 128 + require("node:os").constants.signals[signal] : code),
);
