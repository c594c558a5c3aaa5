/**
 * The image of a pod's sandbox, made here: one static program that ignores SIGCHLD (so that it reaps the orphans of a
 * shared process namespace) and then waits for ever. Assembled by hand: no compiler, no registry.
 * https://refspecs.linuxfoundation.org/elf/elf.pdf
 */
import { buildImage, machineArchitecture } from "./image-builder.ts";

export const pauseImageName = "knarr.local/pause:1";

const loadAddress = 0x400000;
const headerBytes = 64 + 56;

interface Machine {
  /** `e_machine`. */
  machine: number;
  code: readonly number[];
}

/** Little-endian instruction words as bytes. */
const words = (...list: number[]) =>
  list.flatMap((w) => [w & 255, (w >>> 8) & 255, (w >>> 16) & 255, w >>> 24]);

/** The `struct sigaction` {SIG_IGN} follows the code in both. */
const machines: Record<string, Machine> = {
  amd64: {
    machine: 62,
    code: [
      ...[0xb8, 13, 0, 0, 0], // mov eax, rt_sigaction
      ...[0xbf, 17, 0, 0, 0], // mov edi, SIGCHLD
      ...[0x48, 0x8d, 0x35, 19, 0, 0, 0], // lea rsi, [rip+19]
      ...[0x31, 0xd2], // xor edx, edx
      ...[0x41, 0xba, 8, 0, 0, 0], // mov r10d, 8
      ...[0x0f, 0x05], // syscall
      ...[0xb8, 34, 0, 0, 0], // mov eax, pause
      ...[0x0f, 0x05], // syscall
      ...[0xeb, 0xf7], // jmp to the mov
    ],
  },
  arm64: {
    machine: 183,
    code: words(
      0xd28010c8, // mov x8, #134 (rt_sigaction)
      0xd2800220, // mov x0, #17 (SIGCHLD)
      0x10000141, // adr x1, +40
      0xd2800002, // mov x2, #0
      0xd2800103, // mov x3, #8
      0xd4000001, // svc #0
      0xd2800928, // mov x8, #73 (ppoll)
      0xd2800000, // mov x0, #0
      0xd2800001, // mov x1, #0
      0xd2800003, // mov x3, #0
      0xd4000001, // svc #0
      0x17fffffb, // b to the first mov of ppoll
    ),
  },
};

/** The program as an ELF file, or undefined for an architecture it has not been written for. */
export function pauseProgram(architecture: string): Buffer | undefined {
  const target = machines[architecture];
  if (!target) return undefined;
  // SIG_IGN, no flags, no restorer, an empty mask.
  const signalAction = Buffer.alloc(32);
  signalAction.writeBigUInt64LE(1n, 0);
  const code = Buffer.from(target.code);
  const total = headerBytes + code.length + signalAction.length;
  const head = Buffer.alloc(headerBytes);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // ELF, 64 bit, little-endian
  head.writeUInt16LE(2, 16); // ET_EXEC
  head.writeUInt16LE(target.machine, 18);
  head.writeUInt32LE(1, 20);
  head.writeBigUInt64LE(BigInt(loadAddress + headerBytes), 24); // entry
  head.writeBigUInt64LE(64n, 32); // program headers follow
  head.writeUInt16LE(64, 52);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(1, 56);
  head.writeUInt32LE(1, 64); // PT_LOAD
  head.writeUInt32LE(5, 68); // read and execute
  head.writeBigUInt64LE(BigInt(loadAddress), 80);
  head.writeBigUInt64LE(BigInt(loadAddress), 88);
  head.writeBigUInt64LE(BigInt(total), 96);
  head.writeBigUInt64LE(BigInt(total), 104);
  head.writeBigUInt64LE(0x10000n, 112);
  return Buffer.concat([head, code, signalAction]);
}

/** The image as an OCI layout. */
export async function pauseImage(architecture = machineArchitecture()): Promise<Buffer | undefined> {
  const program = pauseProgram(architecture);
  if (!program) return undefined;
  return buildImage({
    name: pauseImageName,
    layers: [[{ path: "pause", content: program, mode: 0o755 }]],
    config: { entrypoint: ["/pause"], user: "65535:65535", env: [] },
    architecture,
  });
}
