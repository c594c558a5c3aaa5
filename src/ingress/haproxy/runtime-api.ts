/**
 * HAProxy's runtime API: commands to the admin socket of the worker that listens now.
 * https://docs.haproxy.org/2.6/management.html#9.3
 */
import { connect } from "node:net";
import type { MapEntries } from "./frontend.ts";

/** HAProxy's buffer: a longer command is cut. */
const commandMaxBytes = 14_000;
const answerMaxBytes = 1024 * 1024;
const timeoutMs = 10_000;
/** So many commands share a connection. */
const batch = 40;

const complaint =
  /no such|require|invalid|unknown|unable|can't|cannot|must be|error|not found|permission denied|fail/i;

export class RuntimeApi {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** One command, or several with `;` between them; answers what HAProxy says. */
  ask(command: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let answer = "";
      const socket = connect(this.#socket, () => socket.write(`${command}\n`));
      socket.setTimeout(timeoutMs, () => socket.destroy(new Error("HAProxy does not answer")));
      socket.setEncoding("utf8");
      socket.on("data", (text: string) => {
        answer += text;
        if (answer.length > answerMaxBytes) socket.destroy(new Error("HAProxy answers without end"));
      });
      socket.on("error", reject);
      socket.on("close", () => resolve(answer.trim()));
    });
  }

  /** Commands that change something: rejects with HAProxy's words where it refuses. */
  async tell(commands: readonly string[]): Promise<void> {
    for (let i = 0; i < commands.length; i += batch)
      await this.#order(commands.slice(i, i + batch).join(";"));
  }

  /** All entries of a map at once: readers see the former or the new ones. */
  async replaceMap(file: string, entries: MapEntries): Promise<void> {
    const version = /\d+/.exec(await this.#order(`prepare map ${file}`))?.[0];
    if (!version) throw new Error(`HAProxy prepared no version of ${file}`);
    let lines: string[] = [];
    let size = 0;
    const flush = async () => {
      if (lines.length > 0) await this.#order(`add map @${version} ${file} <<\n${lines.join("\n")}\n`);
      lines = [];
      size = 0;
    };
    for (const [key, value] of entries) {
      const line = `${key} ${value}`;
      size += Buffer.byteLength(line) + 1;
      if (size > commandMaxBytes) await flush();
      lines.push(line);
    }
    await flush();
    await this.#order(`commit map @${version} ${file}`);
  }

  async replaceCertificate(file: string, pem: string): Promise<void> {
    await this.#order(`set ssl cert ${file} <<\n${pem.trim().replace(/\n\n+/g, "\n")}\n`);
    await this.#order(`commit ssl cert ${file}`);
  }

  /** The process id of the worker that listens now. */
  async workerPid(): Promise<number> {
    return Number(/^Pid: (\d+)$/m.exec(await this.ask("show info"))?.[1] ?? 0);
  }

  async #order(command: string): Promise<string> {
    if (Buffer.byteLength(command) > commandMaxBytes + 1024) throw new Error("too long for HAProxy's socket");
    const answer = await this.ask(command);
    if (complaint.test(answer))
      throw new Error(`HAProxy refused «${command.slice(0, 80)}»: ${answer.slice(0, 300)}`);
    return answer;
  }
}
