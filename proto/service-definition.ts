/** protobuf-es descriptors as grpc-js and its reflection service want them: the only bridge between the two. */
import {
  fromBinary,
  toBinary,
  type DescFile,
  type DescMethod,
  type DescService,
  type MessageShape,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type {
  handleBidiStreamingCall,
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  MethodDefinition,
} from '@grpc/grpc-js';
import { file_google_rpc_error_details } from './gen/google/rpc/error_details_pb.js';

/** One method as grpc-js wants it, typed by its messages. */
export type GrpcMethod<M extends DescMethod> = MethodDefinition<MessageShape<M['input']>, MessageShape<M['output']>>;

/** A service as grpc-js wants it: what `Server.addService` and `makeGenericClientConstructor` take. */
export type GrpcService<S extends DescService> = { readonly [K in keyof S['method']]: GrpcMethod<S['method'][K]> };

/** The handlers that `Server.addService` looks up for a service, by the methods' protobuf-es names (`submitTask`). */
export type GrpcHandlers<S extends DescService> = { readonly [K in keyof S['method']]: GrpcHandler<S['method'][K]> };

/** The handler of one method, by its kind. */
export type GrpcHandler<M extends DescMethod> = M['methodKind'] extends 'unary'
  ? handleUnaryCall<MessageShape<M['input']>, MessageShape<M['output']>>
  : M['methodKind'] extends 'server_streaming'
    ? handleServerStreamingCall<MessageShape<M['input']>, MessageShape<M['output']>>
    : M['methodKind'] extends 'client_streaming'
      ? handleClientStreamingCall<MessageShape<M['input']>, MessageShape<M['output']>>
      : handleBidiStreamingCall<MessageShape<M['input']>, MessageShape<M['output']>>;

/** Unknown fields are skipped, as the contract says: keeping them would cost memory and nobody reads them. */
const READ_OPTIONS = { readUnknownFields: false } as const;

/** A protobuf-es service as grpc-js wants it. */
export function serviceDefinition<S extends DescService>(service: S): GrpcService<S> {
  const methods = service.methods.map((method) => [method.localName, methodDefinition(method)]);
  return Object.fromEntries(methods) as GrpcService<S>;
}

/** One method as grpc-js wants it, for clients that call by definition. */
export function methodDefinition<M extends DescMethod>(method: M): GrpcMethod<M> {
  const { input, output, methodKind } = method;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    requestSerialize: (message) => asBuffer(toBinary(input, message)),
    requestDeserialize: (bytes) => fromBinary(input, bytes, READ_OPTIONS) as MessageShape<M['input']>,
    responseSerialize: (message) => asBuffer(toBinary(output, message)),
    responseDeserialize: (bytes) => fromBinary(output, bytes, READ_OPTIONS) as MessageShape<M['output']>,
    originalName: method.localName,
  };
}

/** What `ReflectionService` of `@grpc/reflection` reads of a package. */
export type ReflectionPackage = Record<
  string,
  { readonly format: string; readonly type: object; readonly fileDescriptorProtos: Buffer[] }
>;

/**
 * The services for reflection: their files and all that these import, well-known types and google/rpc included, as encoded
 * FileDescriptorProtos. Merge it with packages of other services (health) by spreading.
 *
 * @param extraFiles Files that no service imports and that clients need all the same. Default: the error details, without
 *   which a reflection client cannot read `grpc-status-details-bin`.
 */
export function reflectionPackage(
  services: readonly DescService[],
  extraFiles: readonly DescFile[] = [file_google_rpc_error_details],
): ReflectionPackage {
  const files = new Map<string, DescFile>();
  const add = (file: DescFile): void => {
    if (files.has(file.proto.name)) return;
    for (const dependency of file.dependencies) add(dependency);
    files.set(file.proto.name, file);
  };
  for (const service of services) add(service.file);
  for (const file of extraFiles) add(file);
  const fileDescriptorProtos = [...files.values()].map((file) =>
    asBuffer(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  return Object.fromEntries(
    services.map((service) => [
      service.typeName,
      { format: 'Protocol Buffer 3 DescriptorProto', type: {}, fileDescriptorProtos },
    ]),
  );
}

/** grpc-js wants a Buffer; this one shares the memory. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
