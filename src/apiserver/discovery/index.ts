export {
  aggregatedDiscovery,
  aggregatedDiscoveryType,
  coreVersions,
  groupDocument,
  groupList,
  groupsOf,
  groupVersionText,
  resourceList,
} from "./discovery.ts";
