export { gatewayDefinitions } from "./gateway/definitions.ts";
export { gatewayClasses } from "./gateway/types.ts";
export { askAgain } from "./haproxy/config.ts";
export { forwardedHeaders } from "./haproxy/frontend.ts";
export { stopHaproxy } from "./haproxy/haproxy.ts";
export {
  gatewayController,
  type IngressOptions,
  type IngressRunning,
  ingressController,
  startIngress,
} from "./start-ingress.ts";
