export { type Proxy, type ProxyOptions, proxyTable, removeProxy, startProxy } from "./proxy.ts";
