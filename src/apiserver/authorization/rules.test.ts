import fc from "fast-check";
import { expect, it } from "vitest";
import { allows, describeRule, type Rule, uncovered } from "./rules.ts";

const verbs = ["get", "list", "create"];
const groups = ["", "apps"];
const resources = ["pods", "pods/log", "deployments", "deployments/scale"];
const names = ["a", "b"];

const subset = (values: readonly string[]) => fc.subarray([...values], { minLength: 1 });
const ruleOf: fc.Arbitrary<Rule> = fc.oneof(
  fc.record(
    {
      verbs: subset([...verbs, "*"]),
      apiGroups: subset([...groups, "*"]),
      resources: subset([...resources, "*", "*/log"]),
      resourceNames: fc.subarray(names),
    },
    { requiredKeys: ["verbs", "apiGroups", "resources"] },
  ),
  fc.record({ verbs: subset([...verbs, "*"]), nonResourceURLs: subset(["/a", "/a/b", "/a/*", "*"]) }),
);

/** Every single thing that can be asked in this small world. */
function* everything() {
  for (const verb of verbs) {
    for (const path of ["/a", "/a/b", "/a/c", "/d"]) yield { verb, path };
    for (const group of groups)
      for (const whole of resources)
        for (const name of ["", ...names]) {
          const [resource = "", subresource = ""] = whole.split("/");
          yield {
            verb,
            path: "",
            resource: { group, version: "v1", resource, subresource, namespace: "", name },
          };
        }
  }
}

it("rules that are covered allow nothing that their owner may not do", () => {
  fc.assert(
    fc.property(fc.array(ruleOf, { maxLength: 3 }), ruleOf, (owned, wanted) => {
      if (uncovered(owned, [wanted]).length > 0) return;
      for (const asked of everything())
        if (allows(wanted, asked)) expect(owned.some((own) => allows(own, asked))).toBe(true);
    }),
    { numRuns: 500 },
  );
});

it("everybody may hand on exactly what they have", () => {
  fc.assert(
    fc.property(fc.array(ruleOf), (rules) => {
      expect(uncovered(rules, rules)).toEqual([]);
    }),
  );
});

it("a name cuts a rule down to that object", () => {
  const rule = { verbs: ["get"], apiGroups: [""], resources: ["pods"], resourceNames: ["a"] };
  const ask = (name: string) =>
    allows(rule, {
      verb: "get",
      path: "",
      resource: { group: "", version: "v1", resource: "pods", subresource: "", namespace: "", name },
    });
  expect([ask("a"), ask("b"), ask("")]).toEqual([true, false, false]);
});

it("describes a right as upstream does", () => {
  expect(describeRule({ verbs: ["get", "list"], apiGroups: [""], resources: ["pods"] })).toBe(
    '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
  );
});
