import {
  grpcDialler as frameDialler,
  type FrameListener,
  type FrameStream,
  type OpenFrameStream,
} from '../client/frame-stream.js';
import { WorkerService, type ConnectRequest, type ConnectResponse } from '../proto/gen/remuda/v1/worker_service_pb.js';

/** What the owner of a stream wants to hear. Nothing comes after `onEnd`. */
export type StreamListener = FrameListener<ConnectResponse>;

/** An open stream to a coordinator. */
export type WorkerStream = FrameStream<ConnectRequest>;

/** Opens a stream to a coordinator. */
export type OpenStream = OpenFrameStream<ConnectRequest, ConnectResponse>;

/** A function that opens streams to this address (HOST:PORT or unix:PATH) over grpc-js, without TLS. */
export function grpcDialler(address: string): OpenStream {
  return frameDialler(address, WorkerService.method.connect);
}
