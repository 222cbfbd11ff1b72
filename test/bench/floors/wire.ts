/**
 * How the floors talk: contract messages over plain grpc-js. Part of the yardstick (see pipe-forwarder.ts), so nothing of the
 * product is in it but the generated messages.
 */
import { fromBinary, toBinary, type DescMethod, type MessageShape } from '@bufbuild/protobuf';
import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  type ClientDuplexStream,
  type MethodDefinition,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { once } from 'node:events';

type In<M extends DescMethod> = MessageShape<M['input']>;
type Out<M extends DescMethod> = MessageShape<M['output']>;

/** A bidirectional method as grpc-js wants it. */
export function streamDefinition<M extends DescMethod>(method: M): MethodDefinition<In<M>, Out<M>> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message) => asBuffer(toBinary(method.input, message)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes) as In<M>,
    responseSerialize: (message) => asBuffer(toBinary(method.output, message)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes) as Out<M>,
  };
}

/** Gives back each message, as a message of its own. */
export const STREAM_ECHO = bytesDefinition('/floor.Echo/Stream', true);
/** Gives back the message. */
export const UNARY_ECHO = bytesDefinition('/floor.Echo/Unary', false);

function bytesDefinition(path: string, isStream: boolean): MethodDefinition<Buffer, Buffer> {
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    path,
    requestStream: isStream,
    responseStream: isStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

/** Serves methods on a free port of this machine. Resolves to HOST:PORT. */
export function listen(definition: ServiceDefinition, handlers: Parameters<Server['addService']>[1]): Promise<string> {
  const server = new Server();
  server.addService(definition, handlers);
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(`127.0.0.1:${port}`);
      else reject(error);
    });
  });
}

/** A connection that is open. */
export async function connect(address: string): Promise<Client> {
  const client = new Client(address, credentials.createInsecure());
  await new Promise<void>((resolve, reject) => {
    client.waitForReady(Date.now() + 10_000, (error) => (error === undefined ? resolve() : reject(error)));
  });
  return client;
}

/** A stream of a bidirectional method, open at both ends: the server has sent its headers. */
export async function openStream<I, O>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: MethodDefinition<I, O>,
): Promise<ClientDuplexStream<I, O>> {
  // Without a listener of errors: a broken stream is a broken floor, so the process ends and says why.
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  await once(stream, 'metadata');
  return stream;
}

/** grpc-js wants a Buffer; this one shares the memory. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
