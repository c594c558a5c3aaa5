/**
 * An esbuild plugin: `import … from "node:http"` becomes a require of it. An import of one of Node's own modules reads all of its
 * names at once, and three of this one's (WebSocket among them) load the whole of undici: 4 MB that nobody needs here.
 * https://esbuild.github.io/plugins/#on-resolve
 */
import type { Plugin } from "esbuild";

const namespace = "lazy-http";

export const lazyHttp: Plugin = {
  name: namespace,
  setup(build) {
    build.onResolve({ filter: /^(node:)?http$/ }, ({ kind }) =>
      kind === "require-call" ? { path: "node:http", external: true } : { path: "node:http", namespace },
    );
    build.onLoad({ filter: /./, namespace }, () => ({ contents: 'module.exports = require("node:http");' }));
  },
};
