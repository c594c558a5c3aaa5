import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { requestHeaders, responseHeaders, rewriteRedirect, upgradeHeaders } from "./headers.ts";

const path = "/api/v1/namespaces/default/services/web/proxy/a";

describe("the head of a request", () => {
  it("keeps what is the backend's, and nothing that is between neighbours or says who asks", () => {
    const headers = {
      host: "cluster:6443",
      accept: "text/html",
      cookie: "a=b",
      authorization: "Bearer secret",
      "impersonate-user": "root",
      connection: "keep-alive, X-Mine",
      "x-mine": "1",
      te: "trailers",
      "transfer-encoding": "chunked",
      expect: "100-continue",
    };
    expect(requestHeaders(headers, path)).toEqual({
      host: "cluster:6443",
      accept: "text/html",
      cookie: "a=b",
      "x-forwarded-uri": path,
      "x-forwarded-host": "cluster:6443",
      "x-forwarded-proto": "https",
    });
  });

  it("asks for an upgrade only where the client did", () => {
    const headers = { connection: "Upgrade", upgrade: "websocket", authorization: "Bearer secret" };
    expect(requestHeaders(headers, path)).not.toHaveProperty("upgrade");
    const upgraded = upgradeHeaders(headers, path);
    expect(upgraded).toMatchObject({ connection: "Upgrade", upgrade: "websocket" });
    expect(upgraded).not.toHaveProperty("authorization");
  });

  it("whatever the connection header names does not pass", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^x-[a-z]{1,10}$/), fc.boolean(), (name, upper) => {
        const connection = upper ? name.toUpperCase() : ` ${name} , close`;
        expect(requestHeaders({ connection, [name]: "1" }, path)).not.toHaveProperty(name);
      }),
    );
  });
});

describe("the head of an answer", () => {
  it("is text again, without cookies and what is between neighbours", () => {
    const headers = {
      "content-type": "text/html",
      connection: "close",
      "set-cookie": ["a=1", "b=2"],
      "x-name": Buffer.from("Bär").toString("latin1"),
    };
    expect(responseHeaders(headers)).toEqual({ "content-type": "text/html", "x-name": "Bär" });
  });
});

describe("redirections", () => {
  const prefix = "/api/v1/namespaces/default/services/web/proxy";
  const hosts = ["10.0.0.1", "10.0.0.1:8080", "cluster:6443"];
  it.each([
    ["/login?next=%2F#top", `${prefix}/login?next=%2F#top`],
    ["http://10.0.0.1:8080/x", `${prefix}/x`],
    ["https://cluster:6443/x", `${prefix}/x`],
    [`https://cluster:6443${prefix}/x`, `${prefix}/x`],
    ["next", "next"],
    ["https://example.com/x", "https://example.com/x"],
    ["//example.com/x", "//example.com/x"],
    ["http://[", "http://["],
  ])("%s", (location, expected) => {
    expect(rewriteRedirect(location, prefix, hosts)).toBe(expected);
  });

  it("never fail, whatever the backend says", () => {
    fc.assert(fc.property(fc.string(), (text) => typeof rewriteRedirect(text, prefix, hosts) === "string"));
  });
});
