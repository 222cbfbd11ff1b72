/**
 * The floor of grpc-js itself: gives back what it gets, raw bytes, by stream and by unary call.
 *
 * Part of the yardstick; see pipe-forwarder.ts for when it may change.
 */
import type { sendUnaryData, ServerDuplexStream, ServerUnaryCall } from '@grpc/grpc-js';
import { servePeer } from '../serve-peer.js';
import { listen, STREAM_ECHO, UNARY_ECHO } from './wire.js';

function stream(call: ServerDuplexStream<Buffer, Buffer>): void {
  call.sendMetadata(call.metadata);
  call.on('data', (bytes: Buffer) => void call.write(bytes));
  call.on('end', () => call.end());
}

function unary({ request }: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void {
  answer(null, request);
}

servePeer({ listen: () => listen({ stream: STREAM_ECHO, unary: UNARY_ECHO }, { stream, unary }) });
