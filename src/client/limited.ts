/**
 * A client that asks no more often than it may: so many requests a second, and a burst of them.
 * https://pkg.go.dev/k8s.io/client-go/rest#Config
 */
import type { Rate } from "#base";
import { createClient } from "./client.ts";
import type { Client } from "./contract.ts";

/** The same client, whose requests wait for their turn; one that is given up meanwhile is not sent. */
export function limitedClient({ transport, userAgent }: Client, rate: Pick<Rate, "take">): Client {
  const limited = {
    async send(request: Parameters<typeof transport.send>[0]) {
      await rate.take(request.signal);
      request.signal?.throwIfAborted();
      return transport.send(request);
    },
    close: () => transport.close(),
  };
  return createClient(limited, { userAgent });
}
