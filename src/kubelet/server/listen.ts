/** Listening, and an end of it that waits for nobody. */
import type { AddressInfo, Server, Socket } from "node:net";
import { codeOf, UserError } from "#base";

export interface Listening {
  readonly port: number;
  stop(): Promise<void>;
}

/** Throws `UserError` for a port that somebody has, or an address that the machine has not; `what` it is for is told. */
export async function listen(server: Server, host: string, port: number, what: string): Promise<Listening> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(listeningError(error, host, port, what)));
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function listeningError(error: Error, host: string, port: number, what: string): Error {
  if (codeOf(error) === "EADDRINUSE")
    return new UserError(
      `port ${port} for ${what} is in use`,
      "end the other program, or choose another port",
    );
  if (codeOf(error) === "EADDRNOTAVAIL" || codeOf(error) === "ENOTFOUND")
    return new UserError(`${host} for ${what} is no address of this machine`, "name another address");
  return error;
}
