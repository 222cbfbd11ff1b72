import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials, status as Code, type ClientDuplexStream } from '@grpc/grpc-js';
import { channelOptions } from '../client/channel-options.js';
import { FleetError } from '../proto/fleet-error.js';
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  WorkerService,
  type ConnectRequest,
  type ConnectResponse,
} from '../proto/gen/remuda/v1/worker_service_pb.js';
import { methodDefinition } from '../proto/service-definition.js';
import type { StreamEnd } from './session-machine.js';

/** What the owner of a stream wants to hear. Nothing comes after `onEnd`. */
export interface StreamListener {
  onFrame(frame: ConnectResponse): void;
  /** There is room for another frame. */
  onWritable(): void;
  onEnd(end: StreamEnd): void;
}

/** An open stream to a coordinator. */
export interface WorkerStream {
  /** True if a frame may be written now. */
  readonly writable: boolean;
  write(frame: ConnectRequest): void;
  /** Ends it; `gently` lets what was written leave first. The listener hears nothing more. */
  close(gently: boolean): void;
}

/** Opens a stream to a coordinator. */
export type OpenStream = (listener: StreamListener) => WorkerStream;

/** grpc-js counts messages, not bytes: no more than this, or one frame, waits inside it (design section 8). */
const UNWRITTEN_BYTES_MAX = 65_536;
/** How long a gentle end may take. */
const CLOSE_MS = 1_000;

/** A function that opens streams to this address (HOST:PORT or unix:PATH) over grpc-js, without TLS. */
export function grpcDialler(address: string): OpenStream {
  return (listener) => new GrpcStream(address, listener);
}

const connect = methodDefinition(WorkerService.method.connect);

class GrpcStream implements WorkerStream {
  private readonly client: Client;
  private readonly call: ClientDuplexStream<Buffer, ConnectResponse>;
  private unwrittenBytes = 0;
  private closed = false;

  constructor(
    address: string,
    private readonly listener: StreamListener,
  ) {
    this.client = new Client(address, credentials.createInsecure(), channelOptions(address));
    this.call = this.client.makeBidiStreamRequest(
      connect.path,
      // Frames are encoded before they are written, so that their bytes can be counted.
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => fromBinary(ConnectResponseSchema, bytes),
    );
    this.call.on('data', (frame: ConnectResponse) => {
      if (!this.closed) listener.onFrame(frame);
    });
    let failure: unknown;
    // 'status' follows, always.
    this.call.on('error', (error: unknown) => {
      failure = error;
    });
    this.call.on('status', ({ code }: { code: Code }) => this.finish(code, failure));
  }

  get writable(): boolean {
    return !this.closed && this.unwrittenBytes < UNWRITTEN_BYTES_MAX;
  }

  write(frame: ConnectRequest): void {
    if (this.closed) return;
    const bytes = toBinary(ConnectRequestSchema, frame);
    const { byteLength } = bytes;
    this.unwrittenBytes += byteLength;
    this.call.write(Buffer.from(bytes.buffer, bytes.byteOffset, byteLength), () => {
      const wasFull = !this.writable;
      this.unwrittenBytes -= byteLength;
      if (wasFull && this.writable) this.listener.onWritable();
    });
  }

  close(gently: boolean): void {
    if (this.closed) return;
    this.closed = true;
    if (!gently) {
      this.call.cancel();
      this.client.close();
      return;
    }
    this.call.end();
    const timer = setTimeout(() => this.call.cancel(), CLOSE_MS);
    this.call.once('status', () => {
      clearTimeout(timer);
      this.client.close();
    });
  }

  private finish(code: Code, failure: unknown): void {
    if (this.closed) return;
    this.closed = true;
    this.client.close();
    if (code === Code.OK) {
      this.listener.onEnd({ code: 'OK', reason: '', message: 'the coordinator closed the stream' });
      return;
    }
    const { reason, message } = FleetError.from(failure);
    this.listener.onEnd({ code: Code[code], reason, message });
  }
}
