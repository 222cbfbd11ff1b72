/**
 * Sends messages of 160 bytes and waits for them to come back. Part of the yardstick; see pipe-forwarder.ts for when it may
 * change.
 */
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import { keepInFlight, type Operation, type Sample, type Terms } from '../in-flight.js';
import { servePeer } from '../serve-peer.js';
import { connect, openStream, STREAM_ECHO, UNARY_ECHO } from './wire.js';

const MESSAGE = Buffer.alloc(160, 'x');

let client: Client;
let stream: ClientDuplexStream<Buffer, Buffer>;
/** What waits for an answer on the stream, in order. */
const waiting: ((error?: Error) => void)[] = [];

async function open(address: string): Promise<void> {
  client = await connect(address);
  stream = await openStream(client, STREAM_ECHO);
  stream.on('data', () => waiting.shift()?.());
}

const byStream: Operation = (done) => {
  waiting.push(done);
  stream.write(MESSAGE);
};

const byUnaryCall: Operation = (done) => {
  const { path, requestSerialize, responseDeserialize } = UNARY_ECHO;
  client.makeUnaryRequest(path, requestSerialize, responseDeserialize, MESSAGE, (error) => done(error ?? undefined));
};

function measure(args: { how: 'stream' | 'unary'; inFlight: number; terms: Terms }): Promise<Sample> {
  return keepInFlight(args.inFlight, args.terms, args.how === 'stream' ? byStream : byUnaryCall);
}

servePeer({ open, measure });
