import { expect, test } from "vitest";
import type { User } from "../user.ts";
import type { Attributes } from "./attributes.ts";
import type { Authorizer } from "./authorizer.ts";
import { impersonated } from "./impersonation.ts";

const requester: User = { username: "deputy", groups: ["system:authenticated"] };
const pods = { group: "", version: "v1", resource: "pods", subresource: "", namespace: "shop", name: "" };

/** Allows what the patterns name: `verb group/resource[/subresource] namespace/name`. */
function rights(...patterns: RegExp[]): Authorizer & { asked: string[]; users: User[] } {
  const asked: string[] = [];
  const users: User[] = [];
  return {
    asked,
    users,
    authorize({ user, verb, resource }) {
      const { group = "", resource: kind = "", subresource, namespace = "", name = "" } = resource ?? {};
      const what = `${verb} ${group}/${kind}${subresource ? `/${subresource}` : ""} ${namespace}/${name}`;
      asked.push(what);
      users.push(user);
      return { allowed: patterns.some((pattern) => pattern.test(what)), reason: "" };
    },
    rulesFor: () => ({ rules: [], errors: [] }),
  };
}

function play(authorizer: Authorizer, headers: Record<string, string>, user = requester): User {
  const attributes: Attributes = { user, verb: "list", path: "", resource: pods };
  return impersonated(authorizer, () => attributes, user, headers);
}

test("nobody who asks for nothing is asked about", () => {
  const authorizer = rights();
  expect(play(authorizer, {})).toBe(requester);
  expect(authorizer.asked).toEqual([]);
  expect(() => play(authorizer, { "impersonate-uid": "1" })).toThrow("without impersonating a user");
});

test("a user is played for one action, with groups, uid and extra fields that are allowed one by one", () => {
  const authorizer = rights(
    /^impersonate-on:user-info:list \/pods shop\/$/,
    /^impersonate:user-info authentication\.k8s\.io\//,
  );
  const headers = {
    "impersonate-user": "ann",
    "impersonate-group": "team, other",
    "impersonate-uid": "7",
    "impersonate-extra-scopes": "view",
  };
  expect(play(authorizer, headers)).toEqual({
    username: "ann",
    groups: ["team", "other", "system:authenticated"],
    uid: "7",
    extra: { scopes: ["view"] },
  });
  expect(authorizer.asked).toEqual([
    "impersonate-on:user-info:list /pods shop/",
    "impersonate:user-info authentication.k8s.io/users /ann",
    "impersonate:user-info authentication.k8s.io/uids /7",
    "impersonate:user-info authentication.k8s.io/groups /team",
    "impersonate:user-info authentication.k8s.io/groups /other",
    "impersonate:user-info authentication.k8s.io/userextras/scopes /view",
  ]);
});

test.each([
  [
    { "impersonate-user": "ann", "impersonate-group": "system:masters" },
    "impersonating the system:masters group is not allowed",
  ],
  [{ "impersonate-user": "ann", "impersonate-extra-Scopes": "a" }, "invalid key in extra is not allowed"],
  [{ "impersonate-user": "ann", "impersonate-extra-scopes": "" }, "empty values in extra is not allowed"],
])("what no constrained mode allows: %#", (headers, words) => {
  expect(() => play(rights(/^impersonate-on:/, /^impersonate:user-info /), headers)).toThrow(words);
});

test("the old verb still allows everything at once, and the first refusal is told", () => {
  const old = rights(/^impersonate \//, /^impersonate authentication/);
  expect(play(old, { "impersonate-user": "ann", "impersonate-group": "system:masters" }).groups).toEqual([
    "system:masters",
    "system:authenticated",
  ]);
  expect(play(old, { "impersonate-user": "system:anonymous" }).groups).toEqual(["system:unauthenticated"]);
  expect(() => play(rights(), { "impersonate-user": "ann" })).toThrow(
    'pods is forbidden: User "deputy" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "shop"',
  );
});

test("a service account is played by its name alone, within its namespace", () => {
  const authorizer = rights(
    /^impersonate-on:serviceaccount:list /,
    /^impersonate:serviceaccount authentication\.k8s\.io\/serviceaccounts shop\/web$/,
  );
  expect(play(authorizer, { "impersonate-user": "system:serviceaccount:shop:web" }).groups).toEqual([
    "system:serviceaccounts",
    "system:serviceaccounts:shop",
    "system:authenticated",
  ]);
  expect(() => play(authorizer, { "impersonate-user": "system:serviceaccount:other:web" })).toThrow(
    "forbidden",
  );
  const more = { "impersonate-user": "system:serviceaccount:shop:web", "impersonate-group": "a" };
  expect(() => play(authorizer, more)).toThrow("forbidden");
  const asUser = rights(/^impersonate-on:user-info/, /^impersonate:user-info/);
  expect(() => play(asUser, { "impersonate-user": "system:serviceaccount:shop:web" })).toThrow("forbidden");
});

test("a node is played by whoever may play any, or by the accounts of its own pods", () => {
  const any = rights(
    /^impersonate-on:arbitrary-node:list /,
    /^impersonate:arbitrary-node authentication\.k8s\.io\/nodes \/n1$/,
  );
  const node = { "impersonate-user": "system:node:n1" };
  expect(play(any, node)).toEqual({
    username: "system:node:n1",
    groups: ["system:nodes", "system:authenticated"],
  });
  expect(() => play(any, { "impersonate-user": "system:node:n2" })).toThrow("forbidden");
  const own = () =>
    rights(
      /^impersonate-on:associated-node:list /,
      /^impersonate:associated-node authentication\.k8s\.io\/nodes \/\*$/,
    );
  const agentOn = (...names: string[]): User => ({
    username: "system:serviceaccount:kube-system:agent",
    groups: [],
    extra: {
      "authentication.kubernetes.io/node-name": names,
      "authentication.kubernetes.io/pod-name": ["p"],
    },
  });
  const authorizer = own();
  expect(play(authorizer, node, agentOn("n1")).username).toBe("system:node:n1");
  // The answer is the same for all its pods: nothing of this one is told.
  expect(authorizer.users.map(({ extra }) => extra)).toEqual(
    Array(2).fill({
      "authentication.kubernetes.io/associated-node-keys": [
        "authentication.kubernetes.io/node-name",
        "authentication.kubernetes.io/pod-name",
      ],
    }),
  );
  expect(() => play(own(), node, agentOn("n2"))).toThrow("forbidden");
  expect(() => play(own(), node, agentOn("n1", "n2"))).toThrow("forbidden");
  expect(() => play(own(), node, { ...agentOn("n1"), username: "agent" })).toThrow("forbidden");
});
