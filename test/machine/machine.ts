/**
 * A machine of a test's own, with a kernel, systemd and disks of its own: qemu without hardware's help, so that it runs wherever
 * the tests run. It sees no network but what is forwarded from loopback. Everything takes some ten times as long in it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type RunOptions, type RunResult, run, runOk } from "#base";
import { installPackages } from "#distro";
import { findKubectls, KubectlRunner } from "../e2e/kubectl.ts";
import { eventually } from "../eventually.ts";
import { type MachineImage, machineImage, programDisk, type Release } from "./image.ts";

/** How long a machine may take to start, and one command in it. */
const bootMs = 300_000;
export const commandMs = 600_000;
const memory = "4096";

export class Machine {
  readonly #image: MachineImage;
  readonly #program: string;
  /** Sockets, what was written to the root's disk, the console. */
  readonly #dir = mkdtempSync(join(tmpdir(), "knarr-machine-"));
  #qemu: ChildProcess | undefined;
  #sshPort = 0;
  #apiPort = 0;

  private constructor(image: MachineImage, program: string) {
    this.#image = image;
    this.#program = program;
  }

  /** A machine of this release that has started. */
  static async boot(release: Release): Promise<Machine> {
    await installPackages(["qemu-system-x86", "qemu-utils", "openssh-client"]);
    const machine = new Machine(await machineImage(release), await programDisk());
    try {
      await machine.#start();
    } catch (error) {
      const console = machine.console();
      await machine.remove();
      throw new Error(`the machine did not start; its console ends with:\n${console.slice(-2_000)}`, {
        cause: error,
      });
    }
    return machine;
  }

  async #start(): Promise<void> {
    const disk = join(this.#dir, "root");
    await runOk("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", this.#image.disk, disk]);
    [this.#sshPort, this.#apiPort] = await freePorts();
    const forward = (from: number, to: number) => `hostfwd=tcp:127.0.0.1:${from}-:${to}`;
    const network = `user,id=net,restrict=on,${forward(this.#sshPort, 22)},${forward(this.#apiPort, 6443)}`;
    // It ends with the tests, however they end.
    this.#qemu = spawn(
      "setpriv",
      [
        ...["--pdeathsig", "KILL", "qemu-system-x86_64"],
        ...["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", memory, "-display", "none"],
        ...["-kernel", this.#image.kernel, "-initrd", this.#image.initrd],
        ...["-append", "root=/dev/vda rw console=ttyS0 quiet"],
        ...["-drive", `file=${disk},if=virtio,format=qcow2`],
        ...["-drive", `file=${this.#program},if=virtio,format=raw,readonly=on`],
        ...["-netdev", network, "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"],
        ...[
          "-serial",
          `file:${join(this.#dir, "console")}`,
          "-qmp",
          `unix:${join(this.#dir, "qmp")},server,nowait`,
        ],
      ],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    await this.#whenUp();
  }

  #whenUp(): Promise<true> {
    const ready = "systemctl is-system-running --wait >/dev/null; systemctl is-active -q ssh";
    return eventually(
      "the start of the machine",
      async () => {
        if (this.#qemu?.exitCode !== null) throw new Error("qemu has ended");
        return (await this.try(ready, { timeoutMs: 60_000 })).code === 0 || undefined;
      },
      bootMs,
    );
  }

  /** A line of shell, as root there: never rejects for a failing command. */
  try(line: string, options: RunOptions = {}): Promise<RunResult> {
    return run("ssh", [...this.#sshArguments(), `bash -lc ${quoted(line)}`], {
      timeoutMs: commandMs,
      ...options,
    });
  }

  /** Its standard output, without the last line's end; throws with the command's own words. */
  async sh(line: string, options: RunOptions = {}): Promise<string> {
    const result = await this.try(line, options);
    if (result.code !== 0) throw new Error(`${line}: ${result.stderr || result.stdout}`);
    return result.stdout.trimEnd();
  }

  write(path: string, text: string): Promise<string> {
    return this.sh(`cat > ${path}`, { input: text });
  }

  #sshArguments(): string[] {
    // One connection for all commands: its keys take a second or two.
    const options = {
      StrictHostKeyChecking: "no",
      UserKnownHostsFile: "/dev/null",
      LogLevel: "ERROR",
      ConnectTimeout: "20",
      ServerAliveInterval: "20",
      ControlMaster: "auto",
      ControlPath: join(this.#dir, "ssh"),
      ControlPersist: "120",
    };
    const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    return ["-i", this.#image.key, "-p", String(this.#sshPort), ...flags, "root@127.0.0.1"];
  }

  /** This machine's newest kubectl, with the cluster of that one. */
  async kubectl(): Promise<KubectlRunner> {
    const config = (await this.sh("cat /root/.kube/config")).replace(
      /server: [^,\s}]+/,
      `server: https://127.0.0.1:${this.#apiPort}`,
    );
    const file = join(this.#dir, "kubeconfig");
    writeFileSync(file, config);
    return new KubectlRunner((await findKubectls()).at(-1)?.path ?? "kubectl", file);
  }

  /** As a user restarts it: services are stopped in their order. Returns when it has started again. */
  async reboot(): Promise<void> {
    await this.#restart(() => this.try("systemctl reboot"));
  }

  /** As when the plug is pulled: what is not on the disk is lost. */
  async cutPower(): Promise<void> {
    await this.#restart(() => this.#monitor("system_reset"));
  }

  async #restart(work: () => Promise<unknown>): Promise<void> {
    const before = await this.bootId();
    await work();
    await eventually(
      "another start",
      async () => {
        await run("ssh", ["-O", "exit", ...this.#sshArguments()]);
        const now = await this.bootId();
        return now !== "" && now !== before ? true : undefined;
      },
      bootMs,
    );
    await this.#whenUp();
  }

  async bootId(): Promise<string> {
    return (await this.try("cat /proc/sys/kernel/random/boot_id", { timeoutMs: 30_000 })).stdout.trim();
  }

  /** One command of qemu's own monitor protocol. */
  async #monitor(execute: string): Promise<void> {
    const socket = createConnection(join(this.#dir, "qmp"));
    socket.on("error", () => {});
    await once(socket, "data");
    for (const command of ["qmp_capabilities", execute]) {
      socket.write(`${JSON.stringify({ execute: command })}\n`);
      await once(socket, "data");
    }
    socket.destroy();
  }

  console(): string {
    return readFileSync(join(this.#dir, "console"), "utf8");
  }

  async remove(): Promise<void> {
    const qemu = this.#qemu;
    if (qemu && qemu.exitCode === null && qemu.signalCode === null) {
      const ended = once(qemu, "exit");
      qemu.kill("SIGKILL");
      await ended;
    }
    await run("ssh", ["-O", "exit", ...this.#sshArguments()]);
    for (const dir of [this.#dir, dirname(this.#program)]) rmSync(dir, { recursive: true, force: true });
  }
}

function quoted(line: string): string {
  return `'${line.replaceAll("'", "'\\''")}'`;
}

/** Two ports of loopback that nobody listens on at this moment. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address && typeof address === "object") ports.push(address.port);
  }
  for (const server of servers) server.close();
  return [ports[0] ?? 0, ports[1] ?? 0];
}
