/** VolumeAttachment. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume-attachment-v1/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { storagev1 } from "../generated/types/index.ts";
import {
  ageColumn,
  column,
  defineResource,
  keepAllButStatusWithMetadata,
  nameColumn,
} from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, invalid, required, tooLong } from "../meta/field-error.ts";
import { dnsSubdomainErrors } from "../validation/names.ts";
import { driverNameErrors } from "../validation/special-names.ts";
import { validateMetadata } from "./parameters.ts";

type Attachment = Readonly<storagev1.VolumeAttachment>;
type VolumeError = Readonly<storagev1.VolumeError>;

const messageMaxLength = 1024;
/** The bound that upstream tells, though it checks the other. */
const messageToldLength = 256 * 1024;

function validateSource(source: Readonly<storagev1.VolumeAttachmentSource>, at: string): FieldError[] {
  const { inlineVolumeSpec, persistentVolumeName } = source;
  const rule = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  if (!inlineVolumeSpec && persistentVolumeName === undefined) return [required(at, rule)];
  if (inlineVolumeSpec && persistentVolumeName !== undefined) return [forbiddenField(at, rule)];
  if (persistentVolumeName === undefined) return [];
  const field = `${at}.persistentVolumeName`;
  return persistentVolumeName === ""
    ? [required(field, "must specify non empty persistentVolumeName")]
    : dnsSubdomainErrors(persistentVolumeName).map((e) => invalid(field, persistentVolumeName, e));
}

function validateError(error: VolumeError | undefined, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (Buffer.byteLength(error?.message ?? "") > messageMaxLength)
    errors.push(tooLong(`${at}.message`, messageToldLength));
  const { errorCode = 0 } = error ?? {};
  if (errorCode < 0)
    errors.push(invalid(`${at}.errorCode`, errorCode, "must be between 0 and 2147483647, inclusive"));
  return errors;
}

function validateStatus({ status }: Attachment): FieldError[] {
  return [
    ...validateMetadata(status?.attachmentMetadata, "status.attachmentMetadata"),
    ...validateError(status?.attachError, "status.attachError"),
    ...validateError(status?.detachError, "status.detachError"),
  ];
}

function validateAttachment(attachment: Attachment): FieldError[] {
  const { attacher = "", nodeName = "", source = {} } = attachment.spec;
  return [
    ...driverNameErrors("spec.attacher", attacher),
    ...validateSource(source, "spec.source"),
    ...dnsSubdomainErrors(nodeName).map((e) => invalid("spec.nodeName", nodeName, e)),
    ...validateStatus(attachment),
  ];
}

const noStatus = (): storagev1.VolumeAttachmentStatus => ({ attached: false });

export const volumeAttachments = defineResource<storagev1.VolumeAttachment>({
  group: "storage.k8s.io",
  version: "v1",
  resource: "volumeattachments",
  kind: "VolumeAttachment",
  typeName: "io.k8s.api.storage.v1.VolumeAttachment",
  namespaced: false,
  subresources: { status: { kind: "VolumeAttachment", verbs: ["get", "patch", "update"] } },
  onStatusUpdate: keepAllButStatusWithMetadata,
  defaults(attachment) {
    attachment.spec ??= { attacher: "", nodeName: "", source: {} };
    attachment.spec.source ??= {};
    attachment.status ??= noStatus();
  },
  onCreate(attachment) {
    attachment.status = noStatus();
  },
  validate: validateAttachment,
  validateUpdate: (attachment, old) => [
    ...validateAttachment(attachment),
    ...immutable(attachment.spec, old.spec, "spec"),
  ],
  validateStatusUpdate: validateStatus,
  columns: [
    nameColumn(),
    column("Attacher", "string", "The CSI driver that attaches the volume.", (a) => a.spec?.attacher ?? ""),
    column(
      "PV",
      "string",
      "The persistent volume to attach.",
      (a) => a.spec?.source?.persistentVolumeName ?? "",
    ),
    column("Node", "string", "The node that the volume is attached to.", (a) => a.spec?.nodeName ?? ""),
    column("Attached", "boolean", "Whether the volume is attached.", (a) => a.status?.attached ?? false),
    ageColumn(),
  ],
});
