import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, type DescriptorProto, type FileDescriptorProto } from '@bufbuild/protobuf/wkt';

/**
 * The description of grpc.health.v1.Health as protoc would write it. What grpc-health-check carries has relative type names and
 * a map without its entry's prescribed name: clients that read descriptions strictly (buf, Go) refuse it, and with it the list
 * of everything else.
 *
 * @param bytes an encoded FileDescriptorProto as proto-loader writes it
 */
export function strictFile(bytes: Uint8Array): Buffer {
  const file = fromBinary(FileDescriptorProtoSchema, bytes);
  const renamed = new Map<string, string>();
  for (const message of file.messageType) nameMapEntries(message, `.${file.package}`, renamed);
  const known = typeNames(file);
  for (const message of file.messageType) qualify(message, `.${file.package}`, known, renamed);
  return Buffer.from(toBinary(FileDescriptorProtoSchema, file));
}

/** `statuses` is a map: its entry is called StatusesEntry. */
function nameMapEntries(message: DescriptorProto, scope: string, renamed: Map<string, string>): void {
  for (const entry of message.nestedType) {
    if (entry.options?.mapEntry !== true || entry.name.endsWith('Entry')) continue;
    const path = `${scope}.${message.name}.${entry.name}`;
    entry.name += 'Entry';
    renamed.set(path, `${path}Entry`);
  }
}

function typeNames(file: FileDescriptorProto): Set<string> {
  const names = new Set<string>();
  const add = ({ name, nestedType, enumType }: DescriptorProto, scope: string): void => {
    const path = `${scope}.${name}`;
    names.add(path);
    for (const one of enumType) names.add(`${path}.${one.name}`);
    for (const nested of nestedType) add(nested, path);
  };
  for (const one of file.enumType) names.add(`.${file.package}.${one.name}`);
  for (const message of file.messageType) add(message, `.${file.package}`);
  return names;
}

/** A name is looked for in the innermost scope first. */
function qualify(
  message: DescriptorProto,
  outer: string,
  known: ReadonlySet<string>,
  renamed: ReadonlyMap<string, string>,
): void {
  const scope = `${outer}.${message.name}`;
  for (const field of message.field) {
    if (field.typeName === '' || field.typeName.startsWith('.')) continue;
    for (let at = scope; at !== ''; at = at.slice(0, at.lastIndexOf('.'))) {
      const path = renamed.get(`${at}.${field.typeName}`) ?? `${at}.${field.typeName}`;
      if (!known.has(path)) continue;
      field.typeName = path;
      break;
    }
  }
  for (const nested of message.nestedType) qualify(nested, scope, known, renamed);
}
