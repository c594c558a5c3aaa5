/** What the tests of field management write, and how they read owners. */
export const deployments = "/apis/apps/v1/namespaces/default/deployments";

export function deployment(
  name: string,
  more: { spec?: object; metadata?: object; container?: object } = {},
) {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, ...more.metadata },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: "web", image: "nginx:1", ...more.container }] },
      },
      ...more.spec,
    },
  };
}

type Entry = Record<string, unknown> & { manager: string; operation: string; fieldsV1: unknown };

export function owners(answer: { body: { metadata?: Record<string, unknown> } }): Entry[] {
  return (answer.body.metadata?.managedFields ?? []) as Entry[];
}
