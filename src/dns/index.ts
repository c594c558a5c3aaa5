export { type DnsOptions, type DnsServer, startDns } from "./server.ts";
export { nameserversOf } from "./upstream.ts";
