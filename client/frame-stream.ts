import { fromBinary, toBinary, type DescMethodBiDiStreaming, type MessageShape } from '@bufbuild/protobuf';
import { Client, credentials, status as Code, type ClientDuplexStream } from '@grpc/grpc-js';
import { FleetError } from '../proto/fleet-error.js';
import { GatedWriter } from '../proto/gated-writer.js';
import { methodDefinition } from '../proto/service-definition.js';
import { channelOptions } from './channel-options.js';

/** How a stream ended. */
export interface StreamEnd {
  /** Name of the gRPC status code; OK if the coordinator just closed it. */
  readonly code: string;
  /** ErrorInfo.reason; empty if there is none. */
  readonly reason: string;
  readonly message: string;
}

/** What the owner of a stream wants to hear. Nothing comes after `onEnd`, nor after close() but `onClosed`. */
export interface FrameListener<O> {
  /** The connection stands, so that something at the address speaks HTTP/2. */
  onOpen?(): void;
  onFrame(frame: O): void;
  /** There is room for another frame. */
  onWritable(): void;
  onEnd(end: StreamEnd): void;
  /** After close(): nothing of the stream is open any more. */
  onClosed?(): void;
}

/** An open stream of frames to a coordinator. */
export interface FrameStream<I> {
  /** True if a frame may be written now. */
  readonly writable: boolean;
  write(frame: I): void;
  /** Ends it; `gently` lets what was written leave first, for 1 s at most. The listener hears nothing more. */
  close(gently: boolean): void;
}

/** Opens a stream to a coordinator. */
export type OpenFrameStream<I, O> = (listener: FrameListener<O>) => FrameStream<I>;

/** How long a gentle end may take. */
const CLOSE_MS = 1_000;

/**
 * A function that opens streams of a method over grpc-js, without TLS, each with a channel of its own: grpc-js alone backs off
 * up to 120 s before it dials again.
 *
 * @param address HOST:PORT or unix:PATH with an absolute path
 */
export function grpcDialler<M extends DescMethodBiDiStreaming>(
  address: string,
  method: M,
): OpenFrameStream<MessageShape<M['input']>, MessageShape<M['output']>> {
  return (listener) => new GrpcFrameStream(address, method, listener);
}

class GrpcFrameStream<M extends DescMethodBiDiStreaming> implements FrameStream<MessageShape<M['input']>> {
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Buffer, MessageShape<M['output']>>;
  readonly #writer: GatedWriter;
  #closed = false;

  constructor(
    address: string,
    private readonly method: M,
    private readonly listener: FrameListener<MessageShape<M['output']>>,
  ) {
    this.#client = new Client(address, credentials.createInsecure(), channelOptions(address));
    this.#call = this.#client.makeBidiStreamRequest(
      methodDefinition(method).path,
      // Frames are encoded before they are written, so that their bytes can be counted.
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => fromBinary(method.output, bytes) as MessageShape<M['output']>,
    );
    this.#writer = new GatedWriter(this.#call, () => {
      if (!this.#closed) listener.onWritable();
    });
    this.#call.on('data', (frame: MessageShape<M['output']>) => {
      if (!this.#closed) listener.onFrame(frame);
    });
    let failure: unknown;
    // 'status' follows, always.
    this.#call.on('error', (error: unknown) => {
      failure = error;
    });
    this.#call.on('status', ({ code }: { code: Code }) => this.#finish(code, failure));
    if (listener.onOpen === undefined) return;
    this.#client.waitForReady(Infinity, (error) => {
      if (error === undefined && !this.#closed) listener.onOpen?.();
    });
  }

  get writable(): boolean {
    return !this.#closed && this.#writer.hasRoom;
  }

  write(frame: MessageShape<M['input']>): void {
    if (this.#closed) return;
    const bytes = toBinary(this.method.input, frame);
    this.#writer.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  close(gently: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!gently) {
      this.#call.cancel();
      this.#client.close();
      this.listener.onClosed?.();
      return;
    }
    this.#call.end();
    const timer = setTimeout(() => this.#call.cancel(), CLOSE_MS);
    this.#call.once('status', () => {
      clearTimeout(timer);
      this.#client.close();
      this.listener.onClosed?.();
    });
  }

  #finish(code: Code, failure: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#client.close();
    if (code === Code.OK) {
      this.listener.onEnd({ code: 'OK', reason: '', message: 'the coordinator closed the stream' });
      return;
    }
    const { reason, message } = FleetError.from(failure);
    this.listener.onEnd({ code: Code[code], reason, message });
  }
}
