/**
 * Mutated requests over real sockets: whatever they are, the answer is well-formed and never the server's fault. A few
 * thousand here; `KNARR_FUZZ=100000 npx vitest run --project unit test/integration/fuzz` for many, `KNARR_FUZZ_SEED`
 * for others.
 */
import { type ClientHttp2Session, connect } from "node:http2";
import { afterAll, beforeAll, expect, it } from "vitest";
import { seededRandom } from "#base";
import { anyRequest, type FuzzRequest, mutated } from "./fixtures/mutations.ts";
import { type SecureServer, startSecureServer, staticToken } from "./fixtures/secure-server.ts";

const count = Number(process.env.KNARR_FUZZ ?? 3000);
const seed = Number(process.env.KNARR_FUZZ_SEED ?? 1);
const parallel = 16;

let server: SecureServer;
let session: ClientHttp2Session;

beforeAll(async () => {
  server = await startSecureServer();
  session = connect(server.api.url, { ca: server.authority.cert });
  await new Promise((resolve) => session.once("connect", resolve));
});
afterAll(async () => {
  session?.close();
  await server?.stop();
});

interface Answer {
  status: number;
  type: string;
  body: Buffer;
}

const patienceMs = 20_000;

function send({ method, path, headers, body }: FuzzRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      { ":method": method, ":path": path, authorization: `Bearer ${staticToken}`, ...headers },
      { endStream: body === undefined },
    );
    stream.setTimeout(patienceMs, () => reject(new Error("no answer")));
    let status = 0;
    let type = "";
    const chunks: Buffer[] = [];
    const done = () => resolve({ status, type, body: Buffer.concat(chunks) });
    stream.once("response", (answer) => {
      status = Number(answer[":status"]);
      type = String(answer["content-type"] ?? "");
      // A watch has been answered when it has begun.
      if (status === 200 && path.includes("watch")) {
        done();
        stream.close();
      }
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("end", done);
    stream.once("error", (error) => (status ? done() : reject(error)));
    if (body !== undefined) stream.end(body);
  });
}

/** What is wrong with an answer. */
function fault({ path }: FuzzRequest, { status, type, body }: Answer): string | undefined {
  const isStream = /log|proxy|exec|attach|portforward/.test(path);
  const isAhead = status === 504 && body.includes("Too large resource version");
  if (status >= 500 && !isStream && !isAhead) return `answered ${status}: ${body.toString().slice(0, 400)}`;
  if (type !== "application/json" || body.length === 0) return undefined;
  const value = JSON.parse(body.toString()) as { kind?: string; code?: number };
  return status >= 400 && value.kind === "Status" && value.code !== status ? "says another code" : undefined;
}

it(
  `${count} mutated requests are all answered, and none of them is the server's fault`,
  async () => {
    const random = seededRandom(seed);
    const faults: string[] = [];
    const codes = new Map<number, number>();
    let left = count;
    const worker = async () => {
      while (left-- > 0 && faults.length < 20) {
        const request = mutated(random, anyRequest(random), anyRequest(random));
        const told = `${request.method} ${request.path} ${JSON.stringify(request.headers)} ${request.body?.toString("latin1")}`;
        try {
          const answer = await send(request);
          codes.set(answer.status, (codes.get(answer.status) ?? 0) + 1);
          const wrong = fault(request, answer);
          if (wrong) faults.push(`${wrong}\n  ${told}`);
        } catch (error) {
          faults.push(`${String(error)}\n  ${told}`);
        }
      }
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    expect(faults).toEqual([]);
    // It was about more than bad requests.
    for (const code of [200, 201, 400, 404, 409, 422]) expect(codes.get(code)).toBeGreaterThan(0);
    expect((await send({ method: "GET", path: "/readyz", headers: {}, body: undefined })).status).toBe(200);
  },
  60_000 + count * 20,
);
