import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isFieldSet } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import { file_buf_validate_validate } from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';
import { runCommand } from './run-command.ts';

const buf = fileURLToPath(new URL('../../node_modules/.bin/buf', import.meta.url));

/** Compiles .proto files, which may import `buf/validate/validate.proto`, with buf; to a descriptor set. */
export async function buildDescriptorSet(files: { readonly [path: string]: string }): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'lateral-proto-'));
  try {
    const all = { 'buf.yaml': 'version: v2\n', 'buf/validate/validate.proto': validateProto(), ...files };
    for (const [path, text] of Object.entries(all)) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), text);
    }
    const built = await runCommand(buf, [
      'build',
      directory,
      '-o',
      join(directory, 'set.binpb'),
      '--as-file-descriptor-set',
    ]);
    if (built.code !== 0) throw new Error(built.stdout + built.stderr);
    return await readFile(join(directory, 'set.binpb'));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The source of what protovalidate's package has as a descriptor only; options, which say how CEL judges, are left out. */
function validateProto(): string {
  const { proto } = file_buf_validate_validate;
  return [
    'syntax = "proto2";',
    'package buf.validate;',
    ...proto.dependency.map((path) => `import "${path}";`),
    ...proto.enumType.map(enumSource),
    ...proto.messageType.map(messageSource),
    ...proto.extension.map((field) => `extend ${field.extendee} { ${fieldSource(field)} }`),
  ].join('\n');
}

function messageSource(message: DescriptorProto): string {
  const inOneof = (index: number) => message.field.filter((field) => isInOneof(field) && field.oneofIndex === index);
  const ranges = message.extensionRange.map(
    ({ start, end }) => `extensions ${start} to ${end > 536_870_911 ? 'max' : end - 1};`,
  );
  return [
    `message ${message.name} {`,
    ...message.enumType.map(enumSource),
    ...message.nestedType.map(messageSource),
    ...message.field.filter((field) => !isInOneof(field)).map(fieldSource),
    ...message.oneofDecl.map(
      ({ name }, index) =>
        `oneof ${name} { ${inOneof(index)
          .map((field) => `${typeSource(field)} ${field.name} = ${field.number};`)
          .join(' ')} }`,
    ),
    ...ranges,
    '}',
  ].join('\n');
}

function isInOneof(field: FieldDescriptorProto): boolean {
  return isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex); // 0 where it is not set
}

function fieldSource(field: FieldDescriptorProto): string {
  const label = field.label === FieldDescriptorProto_Label.REPEATED ? 'repeated' : 'optional';
  return `${label} ${typeSource(field)} ${field.name} = ${field.number};`;
}

function typeSource({ type, typeName }: FieldDescriptorProto): string {
  if (typeName !== '') return typeName;
  return FieldDescriptorProto_Type[type].toLowerCase();
}

function enumSource({ name, value }: EnumDescriptorProto): string {
  return `enum ${name} { ${value.map((one) => `${one.name} = ${one.number};`).join(' ')} }`;
}
