export { stopHaproxy } from "./haproxy/haproxy.ts";
export {
  type IngressOptions,
  type IngressRunning,
  ingressController,
  startIngress,
} from "./start-ingress.ts";
