import {
  create,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import {
  Client,
  connectivityState,
  credentials,
  Metadata,
  status as Code,
  type ClientUnaryCall,
  type ServiceError,
} from '@grpc/grpc-js';
import { FleetError } from '../proto/fleet-error.js';
import { methodDefinition } from '../proto/service-definition.js';
import { parseAddress } from './parse-address.js';
import { NOT_SENT } from './call-errors.js';
import { channelOptions } from './channel-options.js';
import { COMMAND_LINE_ADDRESS, notACoordinator, unreachable } from './connection-errors.js';
import { shortReason } from './foreign-server.js';

export { NOT_SENT } from './call-errors.js';
export { COORDINATOR_UNREACHABLE, NOT_A_COORDINATOR } from './connection-errors.js';

/** The default bound of one payload, in bytes. */
export const MAX_PAYLOAD_BYTES = 1_048_576;

/** Reason of an error about a connection that broke after the coordinator had begun to answer. */
export const CONNECTION_LOST = 'CONNECTION_LOST';
/** Terms of a channel. */
export interface RpcChannelOptions {
  /** How long a connection attempt may take, in milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** Where the address was said, for messages. Default: `--address or REMUDA_ADDRESS`. */
  readonly addressSaid?: string;
}

/** Terms of one call. */
export interface RpcCallOptions {
  /** How long the answer may take, in milliseconds. `null`: as long as it takes, and no gRPC deadline. Default 10,000. */
  readonly timeoutMs?: number | null;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
  /** Told the initial metadata, which may come long before the answer. */
  readonly onMetadata?: (metadata: Metadata) => void;
}

const CONNECT_TIMEOUT_MS = 5_000;
const CALL_TIMEOUT_MS = 10_000;

/** One connection to a coordinator, for calls of the contract. It dials at the first call. */
export class RpcChannel implements Disposable {
  readonly #client: Client;
  readonly #connectTimeoutMs: number;
  readonly #addressSaid: string;

  /**
   * @param address HOST:PORT or unix:PATH
   * @throws FleetError INVALID_ARGUMENT / INVALID_ADDRESS
   */
  constructor(
    readonly address: string,
    options: RpcChannelOptions = {},
  ) {
    const target = parseAddress(address);
    this.#connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    this.#addressSaid = options.addressSaid ?? COMMAND_LINE_ADDRESS;
    this.#client = new Client(target, credentials.createInsecure(), channelOptions(target));
  }

  /**
   * Calls a unary method. Nothing is repeated.
   *
   * @throws FleetError as the method's comment says; UNAVAILABLE / COORDINATOR_UNREACHABLE if nobody answers at the address,
   *   / NOT_A_COORDINATOR if something else does, / CONNECTION_LOST if the connection broke in mid-call; DEADLINE_EXCEEDED; CANCELLED if `signal` was aborted,
   *   / NOT_SENT if that was before the call was sent
   */
  async call<M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M['input']>,
    options: RpcCallOptions = {},
  ): Promise<MessageShape<M['output']>> {
    const timeoutMs = options.timeoutMs === undefined ? CALL_TIMEOUT_MS : options.timeoutMs;
    const deadlineMs = timeoutMs === null ? null : Date.now() + timeoutMs;
    await this.#connected(options.signal);
    try {
      return await this.#unary(method, request, deadlineMs, options);
    } catch (error) {
      throw this.#explain(FleetError.from(error), timeoutMs, options.signal?.aborted === true);
    }
  }

  /**
   * Calls a method that answers with a stream, and gives its answers as they are asked for. Leaving the loop cancels the call.
   *
   * @throws FleetError as {@link RpcChannel.call}
   */
  async *stream<M extends DescMethodServerStreaming>(
    method: M,
    request: MessageInitShape<M['input']>,
    { signal }: Pick<RpcCallOptions, 'signal'> = {},
  ): AsyncGenerator<MessageShape<M['output']>, void, undefined> {
    await this.#connected(signal);
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const message = create(method.input, request) as MessageShape<M['input']>;
    const call = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message);
    const cancel = () => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    // After the loop was left there is nobody to tell.
    call.on('error', () => undefined);
    try {
      for await (const answer of call as AsyncIterable<MessageShape<M['output']>>) yield answer;
    } catch (error) {
      throw this.#explain(FleetError.from(error), null, signal?.aborted === true);
    } finally {
      signal?.removeEventListener('abort', cancel);
      call.cancel();
    }
  }

  /** Ends the connection; calls under way fail. A repeat does nothing. */
  close(): void {
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #unary<M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M['input']>,
    deadlineMs: number | null,
    { signal, onMetadata }: RpcCallOptions,
  ): Promise<MessageShape<M['output']>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(cancelled(path));
        return;
      }
      const cancel = () => call.cancel();
      const call: ClientUnaryCall = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create(method.input, request) as MessageShape<M['input']>,
        new Metadata(),
        deadlineMs === null ? {} : { deadline: deadlineMs },
        (error: ServiceError | null, value?: MessageShape<M['output']>) => {
          signal?.removeEventListener('abort', cancel);
          if (error !== null || value === undefined) reject(error ?? new Error(`${path}: no answer`));
          else resolve(value);
        },
      );
      signal?.addEventListener('abort', cancel, { once: true });
      if (onMetadata !== undefined) call.once('metadata', onMetadata);
    });
  }

  /**
   * Waits for the end of a connection attempt, good or bad: after a bad one the call itself fails at once and says why. Without
   * this, a call to a host that swallows packets would wait for the channel's own 20 s, or for ever.
   */
  async #connected(signal: AbortSignal | undefined): Promise<void> {
    const channel = this.#client.getChannel();
    const deadlineMs = Date.now() + this.#connectTimeoutMs;
    for (;;) {
      if (signal?.aborted === true) throw cancelled(this.address);
      const state = channel.getConnectivityState(true);
      if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) return;
      const changed = await new Promise<boolean>((resolve) => {
        const onAbort = () => resolve(true);
        signal?.addEventListener('abort', onAbort, { once: true });
        channel.watchConnectivityState(state, deadlineMs, (error) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(error === undefined);
        });
      });
      if (!changed) throw this.#unreachable(`no connection within ${this.#connectTimeoutMs} ms`);
    }
  }

  #explain(error: FleetError, timeoutMs: number | null, cancelledHere: boolean): FleetError {
    if (error.reason !== '') return error;
    if (error.code === Code.DEADLINE_EXCEEDED) {
      const message = `the coordinator at ${this.address} did not answer within ${timeoutMs ?? 0} ms; look at its log, or try again`;
      return new FleetError(error.code, '', message, { cause: error });
    }
    const { code, reason, message: said } = error;
    const end = { code: Code[code], reason, message: said };
    const foreign = notACoordinator(this.address, end, this.#addressSaid, error);
    if (foreign !== undefined) return foreign;
    // A server that is torn down resets its calls as if the caller had cancelled them.
    const wasReset = error.code === Code.CANCELLED && !cancelledHere;
    if (error.code !== Code.UNAVAILABLE && !wasReset) return error;
    const why = shortReason(error.message);
    if (!wasReset && !/^Connection dropped|ECONNRESET|GOAWAY/.test(error.message)) return this.#unreachable(why, error);
    const message = `the connection to the coordinator at ${this.address} was lost (${why}); it may have stopped: try again`;
    return new FleetError(Code.UNAVAILABLE, CONNECTION_LOST, message, { cause: error });
  }

  #unreachable(why: string, cause?: FleetError): FleetError {
    return unreachable(this.address, why, this.#addressSaid, cause);
  }
}

function cancelled(what: string): FleetError {
  return new FleetError(Code.CANCELLED, NOT_SENT, `${what}: cancelled by the caller before it was sent`);
}
