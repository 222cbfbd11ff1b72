import { setTimeout as delay } from 'node:timers/promises';
import type { DescMethodServerStreaming, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../proto/fleet-error.js';
import { Backoff } from './backoff.js';
import { clientClosed } from './call-errors.js';
import { NOT_A_COORDINATOR } from './connection-errors.js';
import { onAbort } from './on-abort.js';
import { CONNECTION_LOST, RpcChannel, type RpcChannelOptions } from './rpc.js';

/** What the calls beside the task stream need. */
export interface UnaryCallsOptions extends Required<RpcChannelOptions> {
  readonly address: string;
  /** Of one try. */
  readonly callTimeoutMs: number;
  /** Goes on trying until the caller's signal is aborted. Otherwise: for `connectTimeoutMs`. */
  readonly waitForReady: boolean;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Evenly distributed in [0, 1). */
  readonly random: () => number;
}

/** Terms of one call. */
export interface UnaryTerms {
  readonly signal?: AbortSignal | undefined;
  /** False: not again once it may have been carried out. Default true. */
  readonly repeatable?: boolean;
  /** Tried until the caller's signal is aborted. Default: as `waitForReady` says. */
  readonly patient?: boolean;
}

/** A channel, and who uses it. */
interface Lent {
  readonly channel: RpcChannel;
  users: number;
  retired: boolean;
}

const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 1_000;

/**
 * Calls over one connection, which is replaced when it breaks: grpc-js alone would back off up to 120 s. What fails with
 * UNAVAILABLE is tried again (AIP-194), 100 ms to 1 s apart.
 */
export class UnaryCalls {
  readonly #options: UnaryCallsOptions;
  readonly #closers = new Set<AbortController>();
  #lent: Lent | undefined;
  #closed = false;

  constructor(options: UnaryCallsOptions) {
    this.#options = options;
  }

  /** @throws FleetError as RpcChannel.call; FAILED_PRECONDITION / CLIENT_CLOSED */
  async call<M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M['input']>,
    { signal, repeatable = true, patient = this.#options.waitForReady }: UnaryTerms = {},
  ): Promise<MessageShape<M['output']>> {
    const { callTimeoutMs } = this.#options;
    const tries = this.retries(patient);
    for (;;) {
      try {
        return await this.#lend(signal, (channel, either) =>
          channel.call(method, request, { timeoutMs: callTimeoutMs, signal: either }),
        );
      } catch (error) {
        const failure = FleetError.from(error);
        if (failure.reason === CONNECTION_LOST && !repeatable) throw failure;
        await tries.next(failure, signal);
      }
    }
  }

  /** One try of a method that answers with a stream. @throws FleetError as RpcChannel.stream; CLIENT_CLOSED */
  async *stream<M extends DescMethodServerStreaming>(
    method: M,
    request: MessageInitShape<M['input']>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<MessageShape<M['output']>, void, undefined> {
    const lent = this.#take();
    const { either, forget } = this.#either(signal);
    try {
      yield* lent.channel.stream(method, request, { signal: either });
    } catch (error) {
      throw this.#judge(error, lent, signal);
    } finally {
      forget();
      this.#giveBack(lent);
    }
  }

  /**
   * Paces what is tried again. `next` waits, or throws the failure when another try would not help: it is not UNAVAILABLE, or
   * the time for tries is over.
   */
  retries(patient = this.#options.waitForReady): {
    next(failure: FleetError, signal: AbortSignal | undefined): Promise<void>;
    reset(): void;
  } {
    const { random, nowMs, connectTimeoutMs } = this.#options;
    const backoff = new Backoff({
      minMs: BACKOFF_MIN_MS,
      initialMs: BACKOFF_MIN_MS * 2,
      maxMs: BACKOFF_MAX_MS,
      random,
    });
    let endMs = patient ? Infinity : nowMs() + connectTimeoutMs;
    return {
      next: async (failure, signal) => {
        if (failure.code !== Code.UNAVAILABLE || failure.reason === NOT_A_COORDINATOR) throw failure;
        const waitMs = Math.max(backoff.nextMs(), failure.retryDelayMs ?? 0);
        if (nowMs() + waitMs > endMs) throw failure;
        await this.#sleep(waitMs, signal, failure);
      },
      reset: () => {
        backoff.reset();
        // Who was answered once waits for as long as the caller does.
        endMs = Infinity;
      },
    };
  }

  /** Ends what is under way. A repeat does nothing. */
  close(): void {
    this.#closed = true;
    for (const closer of this.#closers) closer.abort();
    this.#lent?.channel.close();
  }

  async #lend<T>(
    signal: AbortSignal | undefined,
    run: (channel: RpcChannel, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const lent = this.#take();
    const { either, forget } = this.#either(signal);
    try {
      return await run(lent.channel, either);
    } catch (error) {
      throw this.#judge(error, lent, signal);
    } finally {
      forget();
      this.#giveBack(lent);
    }
  }

  #take(): Lent {
    if (this.#closed) throw clientClosed();
    const { address, ...options } = this.#options;
    this.#lent ??= { channel: new RpcChannel(address, options), users: 0, retired: false };
    this.#lent.users += 1;
    return this.#lent;
  }

  #giveBack(lent: Lent): void {
    lent.users -= 1;
    if (lent.retired && lent.users === 0) lent.channel.close();
  }

  /** The error as it is to be told; a connection that is broken is not used again. */
  #judge(error: unknown, lent: Lent, signal: AbortSignal | undefined): FleetError {
    if (this.#closed) return clientClosed();
    const failure = FleetError.from(error);
    if (failure.code === Code.CANCELLED && signal?.aborted === true) {
      return new FleetError(Code.CANCELLED, failure.reason, 'cancelled by the caller', { cause: signal.reason });
    }
    if (failure.code !== Code.UNAVAILABLE) return failure;
    lent.retired = true;
    if (this.#lent === lent) this.#lent = undefined;
    return failure;
  }

  /** The caller's signal and close() in one. */
  #either(signal: AbortSignal | undefined): { either: AbortSignal; forget: () => void } {
    const closer = new AbortController();
    this.#closers.add(closer);
    if (signal?.aborted === true) closer.abort(signal.reason);
    const off = signal === undefined ? undefined : onAbort(signal, () => closer.abort(signal.reason));
    return {
      either: closer.signal,
      forget: () => {
        off?.();
        this.#closers.delete(closer);
      },
    };
  }

  async #sleep(waitMs: number, signal: AbortSignal | undefined, failure: FleetError): Promise<void> {
    const { either, forget } = this.#either(signal);
    try {
      await delay(waitMs, undefined, { signal: either });
    } catch {
      throw this.#closed
        ? clientClosed()
        : new FleetError(Code.CANCELLED, '', cancelledText(failure), { cause: failure });
    } finally {
      forget();
    }
  }
}

function cancelledText(failure: FleetError): string {
  return `cancelled by the caller while the coordinator did not answer: ${failure.message}`;
}
