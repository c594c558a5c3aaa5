/** The server on real sockets: its start and its end. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import dnsPacket from "dns-packet";
import { expect, onTestFinished, test } from "vitest";
import { createWorld, silentLogger, systemClock, UserError, VirtualClock } from "#base";
import { createClient, createInformers, FakeApi } from "#client";
import { startDns } from "./server.ts";

const host = "127.0.0.1";

function setUp() {
  const clock = new VirtualClock();
  const world = createWorld({ clock, log: silentLogger });
  const informers = createInformers(createClient(new FakeApi(clock)), world);
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  informers.start(stop.signal);
  const start = (port: number, nameservers: string[]) =>
    startDns({
      world,
      informers,
      clusterDomain: "cluster.local",
      listen: { hosts: [host], port },
      nameservers,
    });
  return { clock, world, start };
}

test("an answer from upstream that comes after the end is nobody's trouble", async () => {
  const { clock, world, start } = setUp();
  // 192.0.2.0/24 is for documentation: nobody answers there.
  const dns = await start(0, ["192.0.2.1"]);
  const client = createSocket("udp4");
  const questions = [{ type: "A" as const, name: "example.org" }];
  client.send(dnsPacket.encode({ type: "query", id: 1, questions }), dns.port, host);
  while (!(await world.metrics.text()).includes('verdict="forward"} 1')) await systemClock.sleep(1);
  await dns.stop();
  await clock.advance(10_000);
  client.close();
});

test("a port that is taken for TCP is said, and not held for UDP", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, host, resolve));
  const { port } = taken.address() as { port: number };
  await expect(setUp().start(port, [])).rejects.toThrow(UserError);
  const udp = createSocket("udp4");
  await new Promise<void>((resolve, reject) => udp.once("error", reject).bind(port, host, resolve));
  udp.close();
  taken.close();
});
