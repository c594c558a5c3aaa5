export { openapiV2, openapiV3, openapiV3Root } from "./documents.ts";
export { openapiV2Proto, openapiV2ProtobufAccept, openapiV2ProtobufType } from "./gnostic.ts";
