/** What the README tells people to type, typed. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { run, runOk } from "#base";
import { root } from "./harness.ts";
import { tryKnarr } from "./knarr.ts";

const name = `readme-${process.pid}`;
let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "knarr-readme-"));
});
afterAll(async () => {
  await tryKnarr(["down", "--purge", "--name", name], { env: { HOME: home, KUBECONFIG: undefined } });
  await rm(home, { recursive: true, force: true });
});

async function blocks(language: string): Promise<string[]> {
  const text = await readFile(join(root, "README.md"), "utf8");
  return [...text.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, "gs"))].map((match) => match[1]!);
}

/** The commands of a session: lines with a prompt. Cloning is what brought us here. */
function commandsOf(block: string): string[] {
  const lines = block.split("\n").filter((line) => /^[#$] /.test(line));
  return lines.map((line) => line.slice(2)).filter((line) => !line.startsWith("git clone"));
}

/** The test's cluster has a name of its own: the machine may have one called knarr. */
function named(command: string): string[] {
  const words = command.split(" ");
  return words[0] === "./knarr" ? [...words, "--name", name] : words;
}

test("the thirty seconds do what they show", async () => {
  const commands = commandsOf((await blocks("console"))[0]!);
  expect(commands[0]).toBe("./knarr up");
  expect(commands.at(-1)).toBe("./knarr down --purge");
  const path = `${dirname(inject("kubectls").at(-1)!.path)}:${process.env.PATH}`;
  const env = { HOME: home, KUBECONFIG: undefined, PATH: path };
  for (const command of commands) {
    const [program, ...args] = named(command) as [string, ...string[]];
    const result = await run(program, args, { cwd: root, env, timeoutMs: 120_000 });
    expect(result, command).toMatchObject({ code: 0 });
    // This machine may reach no registry: the README says what to do then.
    if (command === "./knarr up")
      await runOk("./knarr", ["image", "busybox", "--name", name], { cwd: root, env });
    if (command.startsWith("kubectl get pods"))
      expect(result.stdout.match(/guestbook-(front|backend)-/g)).toHaveLength(4);
  }
});

test("the embedded cluster of the README runs", async () => {
  const folder = join(root, ".tmp", name);
  await mkdir(folder, { recursive: true });
  try {
    await writeFile(join(folder, "program.ts"), (await blocks("ts"))[0]!);
    expect(await runOk(process.execPath, [join(folder, "program.ts")], { cwd: root })).toBe("");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
