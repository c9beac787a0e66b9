import { createFileRegistry, type DescMethod, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

/** A descriptor set that can be read, or why it cannot. */
export type ReadDescriptorSet =
  | { readonly kind: 'valid'; readonly registry: FileRegistry; readonly methods: readonly DescMethod[] }
  | { readonly kind: 'invalid'; readonly reason: string };

/** Reads a serialized google.protobuf.FileDescriptorSet. */
export function readDescriptorSet(bytes: Uint8Array): ReadDescriptorSet {
  let registry: FileRegistry;
  try {
    registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: 'invalid', reason: `is no FileDescriptorSet with all its imports: ${reason}` };
  }
  const methods = [...registry.files].flatMap((file) => file.services.flatMap((service) => service.methods));
  if (methods.length > 0) return { kind: 'valid', registry, methods };
  return { kind: 'invalid', reason: 'describes no service; make it with protoc --include_imports or buf build -o' };
}
