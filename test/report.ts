/**
 * The reporter of `.ci/run`: into the file that CI_REPORT names go the counts, and each test that failed or needed its
 * second attempt by name. Such a test is a bug too, of the test or of Knarr, but no reason to refuse somebody's change.
 */
import { writeFileSync } from "node:fs";
import { relative } from "node:path";
import type { Reporter, TestCase, TestModule } from "vitest/node";

const lineMax = 300;

function nameOf(test: TestCase): string {
  return `${relative(process.cwd(), test.module.moduleId)}: ${test.fullName}`;
}

function reasonOf(errors: readonly { message: string }[] | undefined): string {
  return (errors?.[0]?.message ?? "").replace(/\s+/g, " ").slice(0, lineMax);
}

/** What failed beside tests: files that do not load, and hooks of files and suites. */
function brokenParts(module: TestModule): string[] {
  const parts = [module, ...module.children.allSuites()];
  return parts.flatMap((part) =>
    part.errors().map((error) => `failed: ${relative(process.cwd(), module.moduleId)}: ${reasonOf([error])}`),
  );
}

export default class CiReport implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly { message: string }[]): void {
    const file = process.env.CI_REPORT;
    if (!file) throw new Error("CI_REPORT names no file");
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const failed = tests.filter((test) => test.result().state === "failed");
    const flaky = tests.filter((test) => test.diagnostic()?.flaky);
    const broken = [
      ...modules.flatMap(brokenParts),
      ...unhandled.map((error) => `failed: outside of a test: ${reasonOf([error])}`),
    ];
    const lines = [
      `${tests.filter((test) => test.result().state === "passed").length} ${failed.length + broken.length}`,
      ...failed.map((test) => `failed: ${nameOf(test)}: ${reasonOf(test.result().errors)}`),
      ...broken,
      ...flaky.map(
        (test) => `passed at its second attempt: ${nameOf(test)}: ${reasonOf(test.result().errors)}`,
      ),
    ];
    writeFileSync(file, `${lines.join("\n")}\n`);
  }
}
