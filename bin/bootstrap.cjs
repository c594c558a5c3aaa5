/**
 * Brings what Knarr needs to run at all: the right Node, and in a clone the npm packages and the bundle. Plain
 * JavaScript for any Node from 18 on.
 */
"use strict";
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const root = path.dirname(__dirname);
const manifest = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));
const nodeVersion = manifest.knarr.node;
/** A clone has sources and builds itself; an installed package has only the bundle. */
const isClone = fs.existsSync(path.join(root, "src"));

/** Ends with one sentence and its mend. */
function fail(message, mend) {
  process.stderr.write(`knarr: ${message}\n${mend ? `  → ${mend}\n` : ""}`);
  process.exit(1);
}

function cacheDir() {
  return path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache"), "knarr");
}

/** npm's own words are long; the first lines say what is wrong. */
const npmWordsMax = 12;

/** Runs npm with as little noise as it allows; its words are shown only when it fails. */
function npm(args, cwd, what) {
  const result = spawnSync(
    "npm",
    [...args, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    {
      cwd,
      encoding: "utf8",
    },
  );
  if (result.error)
    fail(`npm could not be started (${result.error.message})`, "install npm: apt-get install npm");
  if (result.status !== 0) {
    const words = (result.stderr || result.stdout || "").trim().split("\n");
    process.stderr.write(`${words.slice(0, npmWordsMax).join("\n")}\n`);
    fail(
      `${what} could not be installed`,
      "check the npm registry settings (npm config get registry) and try again",
    );
  }
}

/** The path of the Node that runs Knarr: this one where it is new enough, else one brought once from npm. */
function ensureNode() {
  const wanted = Number(nodeVersion.split(".")[0]);
  if (Number(process.versions.node.split(".")[0]) >= wanted) return process.execPath;
  const name = `node-${process.platform}-${process.arch}`;
  const dir = path.join(cacheDir(), `node-${nodeVersion}`);
  const node = path.join(dir, "node_modules", name, "bin", "node");
  if (fs.existsSync(node)) return node;
  process.stderr.write(`✦ bringing Node ${nodeVersion} (once; this machine has ${process.versions.node})\n`);
  // Two launchers may come at once: each fills a folder of its own, and the first rename wins.
  const fresh = `${dir}.${process.pid}`;
  fs.mkdirSync(fresh, { recursive: true });
  fs.writeFileSync(path.join(fresh, "package.json"), "{}");
  npm(["install", "--prefix", fresh, `${name}@${nodeVersion}`], fresh, `Node ${nodeVersion}`);
  expectStart(path.join(fresh, "node_modules", name, "bin", "node"), fresh);
  try {
    fs.renameSync(fresh, dir);
  } catch (error) {
    if (!fs.existsSync(node)) throw error;
    fs.rmSync(fresh, { recursive: true, force: true });
  }
  return node;
}

/** What was brought may need libraries that a small system lacks: its words are of the loader, and name the file. */
function expectStart(node, dir) {
  const { status, stderr, error } = spawnSync(node, ["--version"], { encoding: "utf8" });
  if (status === 0) return;
  fs.rmSync(dir, { recursive: true, force: true });
  const words = (stderr || String(error?.message ?? "")).trim();
  const mend = words.includes("libatomic") ? "apt-get install libatomic1" : "install what it asks for";
  fail(`Node ${nodeVersion} does not start here: ${words}`, `${mend}, then try again`);
}

/** How long one launcher waits for another that installs or builds. */
const lockPatienceMs = 300_000;

/**
 * Does `work` unless `isDone`, and never twice at once: several launchers may start together in a fresh clone. A lock
 * whose owner has died is taken over.
 */
function once(isDone, work) {
  if (isDone()) return;
  const lock = path.join(root, ".knarr-lock");
  const deadline = Date.now() + lockPatienceMs;
  for (;;) {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      const owner = Number(fs.readFileSync(lock, "utf8").trim() || process.pid);
      if (!isAlive(owner)) fs.rmSync(lock, { force: true });
      else if (Date.now() > deadline)
        fail(`process ${owner} is still installing or building`, `wait for it, or remove ${lock}`);
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  }
  try {
    if (!isDone()) work();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** npm packages of a clone, once for each state of the lock file. */
function ensurePackages() {
  if (!isClone) return;
  const lockFile = fs.readFileSync(path.join(root, "package-lock.json"), "utf8");
  const stamp = path.join(root, "node_modules", ".knarr-lock");
  const isDone = () => fs.existsSync(stamp) && fs.readFileSync(stamp, "utf8") === lockFile;
  once(isDone, () => {
    process.stderr.write("✦ installing npm packages (once)\n");
    npm(["ci"], root, "the npm packages");
    fs.writeFileSync(stamp, lockFile);
  });
}

/** The newest modification time of any source file, in milliseconds. */
function newestSource(dir) {
  let newest = 0;
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    const full = path.join(dir, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? newestSource(full) : fs.statSync(full).mtimeMs);
  }
  return newest;
}

/** The bundle in `dist/`, built again in a clone when a source is newer. */
function ensureBuild(node) {
  if (!isClone) return;
  const stamp = path.join(root, "dist", ".built");
  const newest = newestSource(path.join(root, "src"));
  const isDone = () => fs.existsSync(stamp) && fs.statSync(stamp).mtimeMs > newest;
  once(isDone, () => {
    const script = path.join(root, "scripts", "build.ts");
    const result = spawnSync(node, [script], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
    if (result.status !== 0) fail("the bundle could not be built", "see the messages above");
  });
}

module.exports = { root, manifest, isClone, fail, ensureNode, ensurePackages, ensureBuild };
