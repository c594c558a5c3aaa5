import { expect, test } from "vitest";
import { Budget, CelEnvironment, callLimit } from "./engine.ts";
import { CelError } from "./engine-error.ts";
import { CelObject, untypedValue } from "./values.ts";

class Spec extends CelObject {}
const environment = new CelEnvironment()
  .type("Spec", { replicas: "int", tags: "list<string>", name: "string" }, Spec)
  .variable("self", "Spec")
  .variable("oldSelf", "Spec")
  .variable("object", "dyn");

function evaluate(expression: string, self: Record<string, unknown> = {}, steps = callLimit): unknown {
  const spec = new Spec(Object.entries(self));
  const variables = { self: spec, oldSelf: spec, object: untypedValue(self) };
  return environment.compile(expression).evaluate(variables, new Budget(steps));
}

test.each([
  ["self.replicas > 1 && self.tags.all(t, t.startsWith('a'))", true],
  ["self == oldSelf && !has(self.name) && has(self.tags)", true],
  ["self.tags.exists(t, t.matches('^a{2}$'))", true],
  ["matches('abc', 'b')", true],
  ["'banana'.find('a(n)') + string('banana'.findAll('an').size())", "an2"],
  ["'a-b-c'.replace('-', '+', 1).charAt(1)", "+"],
  ["'%s is %d, %.2f %x'.format(['n', 5, 1.5, 255])", "n is 5, 1.50 ff"],
  [
    "[3, 1, 2].max() == 3 && [3, 1, 2].sum() == 6 && ![3, 1].isSorted() && [1, 2, 1].lastIndexOf(1) == 2",
    true,
  ],
  ["sets.contains([1, 2, 3], [1]) && !sets.intersects([1], [2]) && [1, 1, 2].distinct().size() == 2", true],
  [
    "url('https://a.example.com:8080/p?q=1').getHostname() + url('https://a:80/').getPort()",
    "a.example.com80",
  ],
  ["isURL('/path') && !isURL('nope')", true],
  [
    "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('1500m').add(quantity('500m')) == quantity('2')",
    true,
  ],
  ["!isQuantity('x') && quantity('2').asInteger() == 2 && quantity('-1').sign() == -1", true],
  ["ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && isIP('fe80::1') && !isIP('10.0.0.300')", true],
  ["cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", true],
  ["string(cidr('10.1.2.3/8').masked())", "10.0.0.0/8"],
  [
    "format.dns1123Label().validate('Not-OK').hasValue() && !format.named('uuid').value().validate('5b1fe2c4-1b1f-4c1a-8a6f-0d0f0a0b0c0d').hasValue()",
    true,
  ],
  [
    "semver('1.2.3').isLessThan(semver('1.10.0')) && isSemver('v1.2', true) && semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1",
    true,
  ],
  ["has(object.tags[0].x) || true", true],
  ["has(object.list[0].a) && !has(object.list[0].b) && object.list.all(e, has([e][0].a))", true],
  ["has(object.list.filter(e, has(object.list[0].a))[0].a)", true],
  ["object.?missing.orValue('none')", "none"],
  ["object.replicas == 3 && object.tags[0] == 'aa'", true],
  ["cel.bind(x, self.replicas, x * x)", 9n],
  ["duration('1h') > duration('59m') && timestamp('2026-01-01T00:00:00Z').getFullYear() == 2026", true],
])("%s", (expression, wanted) => {
  const self = { replicas: 3n, tags: ["aa", "ab"], list: [{ a: 1 }] };
  expect(evaluate(expression, self)).toEqual(wanted);
});

test.each([
  ["self.nope", "compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope\n | ....^"],
  ["foo > 1", "undeclared reference to 'foo'"],
  ["self.replicas > 'a'", "no such overload"],
  ["self.replicas >", "ERROR"],
  [`'a'.${"trim().".repeat(20_000)}size()`, "longer than"],
])("%s is refused", (expression, wanted) => {
  expect(() => environment.compile(expression)).toThrow(wanted);
});

test("what is missing is an error of the evaluation, with the words of cel-go", () => {
  expect(() => evaluate("self.name == 'a'")).toThrow(new CelError("no such key: name"));
  expect(() => evaluate("object.name == 'a'")).toThrow(new CelError("no such key: name"));
  expect(() => evaluate("1 / (self.replicas - self.replicas) == 1", { replicas: 1n })).toThrow(CelError);
});

test("nothing of JavaScript shows through", () => {
  for (const name of ["constructor", "__proto__", "toString", "size"]) {
    expect(() => evaluate(`object.${name} == 1`)).toThrow(CelError);
    expect(evaluate(`has(object.${name})`)).toBe(false);
  }
});

test("loops and growing texts end when the budget is spent", () => {
  const tags = Array.from({ length: 300 }, (_, i) => `a${i}`);
  const loops = "self.tags.all(a, self.tags.all(b, self.tags.all(c, a + b != c)))";
  expect(() => evaluate(loops, { tags })).toThrow("actual cost limit exceeded");
  const doubled = `${"cel.bind(s, s + s, ".repeat(60)}s.size()${")".repeat(60)}`;
  expect(() => evaluate(`cel.bind(s, 'aaaaaaaaaa', ${doubled})`)).toThrow(CelError);
  const budget = new Budget(10_000);
  const program = environment.compile("self.tags.all(t, t.size() > 0)");
  expect(() => {
    for (let i = 0; i < 100; i++) program.evaluate({ self: new Spec([["tags", tags]]) }, budget);
  }).toThrow("actual cost limit exceeded");
  expect(budget.isSpent).toBe(true);
});

test("a program tells which variables it speaks of", () => {
  const program = environment.compile("self.tags.all(t, t in oldSelf.tags)");
  expect([program.uses("oldSelf"), program.uses("object"), program.type]).toEqual([true, false, "bool"]);
});
