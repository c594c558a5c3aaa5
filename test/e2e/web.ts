/** What the ingress of the cluster answers, and servers behind it. */
import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { inject } from "vitest";
import { eventually } from "./harness.ts";
import { knarr } from "./knarr.ts";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface Question {
  headers?: Record<string, string>;
  method?: string;
  body?: string;
}

/** The ingress as a client sees it. */
export class Web {
  readonly http: URL;
  readonly https: URL;

  constructor(http: string, https: string) {
    this.http = new URL(http);
    this.https = new URL(https);
  }

  /** What the server behind the URL's host answers; over TLS for `https://`. */
  ask(url: string, { headers = {}, method = "GET", body }: Question = {}): Promise<Answer> {
    const wanted = new URL(url);
    const tls = wanted.protocol === "https:";
    const at = tls ? this.https : this.http;
    const options: RequestOptions & { servername: string; rejectUnauthorized: boolean } = {
      host: at.hostname,
      port: wanted.port || at.port || (tls ? 443 : 80),
      path: wanted.pathname + wanted.search,
      method,
      headers: { host: wanted.host, connection: "close", ...headers },
      servername: wanted.hostname,
      rejectUnauthorized: false,
      timeout: 5_000,
    };
    return new Promise((resolve, reject) => {
      const asked = (tls ? httpsRequest : httpRequest)(options, (response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
        );
      });
      asked.on("timeout", () => asked.destroy(new Error("no answer in time")));
      asked.on("error", reject);
      asked.end(body);
    });
  }

  /** The answer, once it is as `isIt` wants it. */
  answer(url: string, isIt: (answer: Answer) => boolean, question?: Question): Promise<Answer> {
    return eventually(`the answer of ${url}`, async () => {
      const seen = await this.ask(url, question);
      if (isIt(seen)) return seen;
      throw new Error(`${seen.status} ${JSON.stringify(seen.headers)} ${seen.body.slice(0, 200)}`);
    });
  }
}

export async function clusterWeb(): Promise<Web> {
  const status = JSON.parse(await knarr(["status", "-o", "json"])) as {
    clusters: { name: string; ingress: { http: string; https: string } }[];
  };
  const { ingress: at } = status.clusters.find(({ name }) => name === inject("clusterName"))!;
  return new Web(at.http, at.https);
}

export const ok = ({ status }: Answer) => status === 200;

/** Answers its name and what it was asked, for every path below /cgi-bin/. */
export const webServer = (name: string, replicas = 1) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: c
          image: busybox:1.36
          command:
            - sh
            - -c
            - |
              mkdir -p /www/cgi-bin /www/app
              printf '#!/bin/sh\\necho Content-Type: text/plain\\necho\\necho server=${name} pod=$(hostname)\\nenv | grep -E "^(HTTP_|REQUEST_|PATH_INFO)"\\n' > /www/cgi-bin/show
              chmod +x /www/cgi-bin/show
              echo ${name} > /www/index.html
              echo ${name} app > /www/app/index.html
              exec httpd -f -p 8080 -h /www
          ports: [{name: web, containerPort: 8080}]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: web}]}
`;
