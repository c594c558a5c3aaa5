/** The command line. Every command is a file in `commands/`, loaded only when it is the one that runs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { UserError } from "#base";
import { printError } from "./output.ts";

interface CommonOptions {
  name: string;
  dataDir?: string;
}

/** `--name` and `--data-dir`, which every command about one cluster takes. */
function onCluster(command: Command): Command {
  return command
    .option("--name <name>", "the cluster's name", "knarr")
    .option("--data-dir <dir>", "where the cluster keeps everything (default /var/lib/knarr/NAME)");
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new UserError(`"${text}" is not a whole number from ${min} to ${max}`);
  };
}

/** From the package this bundle belongs to. */
function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, "..", "package.json"), "utf8")) as {
    version: string;
  };
  return `knarr ${manifest.version} (Kubernetes 1.36)`;
}

function program(): Command {
  const root = new Command("knarr")
    .description("A complete Kubernetes in one package.")
    .version(packageVersion(), "-V, --version", "print the version")
    .showHelpAfterError("(knarr --help lists the commands)")
    .enablePositionalOptions();
  addLifecycle(root);
  addAccess(root);
  addNodes(root);
  addImages(root);
  return root;
}

function addLifecycle(root: Command): void {
  withServerOptions(root.command("up").description("start a cluster and wait until it is ready"))
    .option("--gateway-api", "with the definitions of the Gateway API; on a running cluster too")
    .option("--ipv6", "pods and Services have addresses of both families")
    .option("--cni <which>", "none: another CNI plugin brings the pods' network")
    .option("--no-install", "never install Debian packages")
    .action(async (options: CommonOptions) => (await import("./commands/up.ts")).up(options as never));
  onCluster(root.command("down").description("stop a cluster; its objects stay for the next up"))
    .option("--purge", "remove everything of it from this machine")
    .action(async (options: CommonOptions) => (await import("./commands/down.ts")).down(options));
  onCluster(root.command("status").description("what runs on this machine"))
    .option("-o, --output <format>", "json or table", "table")
    .action(async (options) => (await import("./commands/status.ts")).status(options));
  onCluster(root.command("logs").description("the log of a cluster's server"))
    .option("-f, --follow", "go on as the log grows")
    .option("--tail <lines>", "how many lines from the end", wholeNumber(0, 1_000_000), 100)
    .action(async (options) => (await import("./commands/logs.ts")).logs(options));
  withServerOptions(
    root.command("server").description("control plane and node in the foreground, for systemd"),
  )
    .option("--log-level <level>", "trace, debug, info, warn or error", "info")
    .action(async (options) => (await import("./commands/server.ts")).server(options));
}

/** What a cluster is, however it is started. */
function withServerOptions(command: Command): Command {
  return onCluster(command)
    .option("--simulate", "simulated nodes: no root, no containers")
    .option("--nodes <count>", "how many nodes", wholeNumber(1, 10_000))
    .option("--port <port>", "the API server's port", wholeNumber(1, 65_535))
    .option("--http-port <port>", "the port of Ingresses", wholeNumber(1, 65_535))
    .option("--https-port <port>", "the port of Ingresses with TLS", wholeNumber(1, 65_535))
    .option(
      "--datastore <where>",
      "keep the state in etcd: etcd=https://HOST:PORT[,…][?ca=FILE&cert=FILE&key=FILE]",
    )
    .option("--backend <which>", "wireguard: what pods of different nodes send each other is encrypted")
    .option(
      "--cluster-signing-duration <duration>",
      "the longest life of certificates that are signed for nodes and others (default 8760h)",
    )
    .option("--kubelet-config <file>", "settings of this machine's kubelet: a KubeletConfiguration")
    .option(
      "--kubelet-config-dir <folder>",
      "files that end in .conf, each a KubeletConfiguration: later ones hold",
    )
    .option("--scheduler-config <file>", "settings of the scheduler: a KubeSchedulerConfiguration");
}

function addAccess(root: Command): void {
  onCluster(root.command("kubeconfig").description("print the kubeconfig of a cluster")).action(
    async (options: CommonOptions) => (await import("./commands/kubeconfig.ts")).kubeconfig(options),
  );
}

function addNodes(root: Command): void {
  root
    .command("agent")
    .description("make this machine a node of a cluster elsewhere, in the foreground, for systemd")
    .requiredOption("--server <url>", "the server: https://ADDRESS:PORT")
    .option("--token <token>", "what `knarr token create` printed on the server; needed the first time")
    .option("--node-name <name>", "default: the host name")
    .option(
      "--node-address <address>",
      "default: the first address of this machine; of both families: IPV4,IPV6",
    )
    .option("--data-dir <dir>", "where the node keeps everything", "/var/lib/knarr-agent")
    .option("--kubelet-config <file>", "settings of this machine's kubelet: a KubeletConfiguration")
    .option(
      "--kubelet-config-dir <folder>",
      "files that end in .conf, each a KubeletConfiguration: later ones hold",
    )
    .option("--log-level <level>", "trace, debug, info, warn or error", "info")
    .action(async (options) => (await import("./commands/agent.ts")).agent(options));
  const token = root.command("token").description("what machines join with");
  onCluster(token.command("create").description("print the line that another machine joins with"))
    .option("-o, --output <format>", "json or table", "table")
    .action(async (options) => (await import("./commands/token.ts")).tokenCreate(options));
}

function addImages(root: Command): void {
  const image = root.command("image").description("the images on this machine's node");
  onCluster(image.command("load <file...>").description("load docker-archive or OCI archive files")).action(
    async (files: string[], options: CommonOptions) =>
      (await import("./commands/image.ts")).imageLoad(files, options),
  );
  onCluster(
    image
      .command("busybox [image]")
      .description("make busybox from this machine's own, where no registry is in reach"),
  ).action(async (name: string | undefined, options: CommonOptions) =>
    (await import("./commands/image.ts")).imageBusybox(name ?? "busybox:1.36", options),
  );
  onCluster(image.command("build [folder]").description("build an image with buildah, for every node here"))
    .requiredOption("-t, --tag <image>", "its name, such as web:1")
    .option("-f, --file <file>", "the Containerfile; default: that of the folder, or its Dockerfile")
    .option("--build-arg <name=value...>", "what the file's ARGs are")
    .action(async (folder: string | undefined, options) =>
      (await import("./commands/image.ts")).imageBuild(folder ?? ".", options),
    );
  onCluster(image.command("ls").description("list images"))
    .option("-o, --output <format>", "json or table", "table")
    .action(async (options) => (await import("./commands/image.ts")).imageList(options));
  onCluster(image.command("rm <image...>").description("remove images")).action(
    async (names: string[], options: CommonOptions) =>
      (await import("./commands/image.ts")).imageRemove(names, options),
  );
}

// `knarr up | head` closes the pipe before everything is said: what has to be done is done all the same.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

try {
  await program().parseAsync(process.argv);
} catch (error) {
  printError(error);
  process.exitCode = 1;
}
