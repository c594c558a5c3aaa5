export { type Proxy, type ProxyOptions, removeProxy, startProxy } from "./proxy.ts";
