import { fromBinary } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import type { Input } from '../../coordinator/core/inputs.js';
import type { SessionOutput } from '../../coordinator/core/outputs.js';
import type { SessionGateway } from '../../coordinator/engine.js';
import { Session, type SessionTerms } from '../../coordinator/session/session.js';
import type { FleetError } from '../../proto/fleet-error.js';
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  type ConnectRequest,
} from '../../proto/gen/remuda/v1/worker_service_pb.js';
import type { StreamEnd } from '../../client/frame-stream.js';
import type { SimProcess } from './clock.js';
import type { CrashPoint } from './crash-points.js';
import type { Hearing, HeardSession } from './hearing.js';
import { isHostile, type Model } from './model.js';
import type { SimStream, StreamAcceptor, StreamSide } from './network.js';
import type { Trace } from './trace.js';

/** What the sessions of one life of a coordinator need. */
export interface SessionHostParts {
  readonly process: SimProcess;
  readonly terms: SessionTerms;
  readonly model: Model;
  readonly trace: Trace;
  readonly hearing: Hearing;
  /** False: no new stream is taken. */
  readonly listens: () => boolean;
  /** The engine takes an input. The simulated inbox is never full, so no stream is paused. */
  readonly append: (input: Input, bytes: number) => void;
  /** True if the process dies at this point. */
  readonly reach: (point: CrashPoint) => boolean;
}

interface Hosted {
  readonly session: Session;
  readonly stream: SimStream;
  over: boolean;
  /** Null: it has said none. */
  hello: HelloNote | null;
}

interface HelloNote {
  readonly session: HeardSession;
  readonly atMs: number;
  /** It was taken, and so counts as heard. */
  heard: boolean;
}

const TICK_MS = 100;
const COORDINATOR_GONE: StreamEnd = { code: 'UNAVAILABLE', reason: '', message: 'the coordinator is gone' };

/** Hosts the real sessions over the simulated network, as `coordinator/session/session-host.ts` does over grpc-js. */
export class SimSessionHost implements StreamAcceptor, SessionGateway {
  readonly #hosted = new Map<number, Hosted>();
  readonly #dirty = new Set<Hosted>();
  #flushDue = false;
  #nextSessionId = 1;

  constructor(private readonly parts: SessionHostParts) {}

  /** Begins to look at the clock. */
  start(): void {
    this.#tick();
  }

  /** Tells every worker that the coordinator will be back. */
  announceReturn(holdMs: number): void {
    for (const hosted of [...this.#hosted.values()]) {
      hosted.session.announceReturn(holdMs);
      this.#flush(hosted);
    }
  }

  /** Ends every stream. */
  stop(error: FleetError): void {
    for (const hosted of [...this.#hosted.values()]) {
      hosted.session.end(error);
      this.#flush(hosted);
    }
  }

  /** The process has died; `silently`: with its machine. */
  crash(silently: boolean): void {
    for (const { stream } of this.#hosted.values()) stream.closeFromCoordinator(COORDINATOR_GONE, silently);
  }

  /** False while nothing of the process runs. */
  readonly reads = (): boolean => !this.parts.process.stalled || !this.parts.process.alive;

  accept(stream: SimStream): StreamSide | undefined {
    if (!this.parts.listens()) return undefined;
    const sessionId = this.#nextSessionId;
    this.#nextSessionId += 1;
    const session = new Session(sessionId, this.parts.terms, this.parts.process.monoMs);
    const hosted: Hosted = { session, stream, over: false, hello: null };
    this.#hosted.set(sessionId, hosted);
    const alive = (run: () => void): void => this.parts.process.arrive(() => !hosted.over && run());
    return {
      reads: this.reads,
      onFrame: (bytes) => alive(() => this.#frame(hosted, bytes)),
      onEnd: () =>
        alive(() => {
          session.end(null);
          this.#markDirty(hosted);
        }),
      onWritable: () => alive(() => this.#markDirty(hosted)),
    };
  }

  deliver(sessionId: number, outputs: readonly SessionOutput[]): void {
    const hosted = this.#hosted.get(sessionId);
    if (hosted === undefined) return;
    const { session, hello } = hosted;
    session.deliver(outputs);
    if (hello?.heard === false && session.state.t === 'Open') {
      hello.heard = true;
      this.parts.hearing.frame(hello.session, hello.atMs);
    }
    this.#flush(hosted);
  }

  #frame(hosted: Hosted, bytes: Uint8Array): void {
    if (this.parts.reach('frame')) return;
    const frame = decode(bytes);
    hosted.hello = this.#note(hosted, frame);
    hosted.session.frame(this.parts.process.monoMs, frame, bytes.byteLength);
    this.#pass(hosted);
    this.#markDirty(hosted);
  }

  #note({ session, stream, hello }: Hosted, frame: ConnectRequest | undefined): HelloNote | null {
    // A hostile one may claim to be anybody.
    if (isHostile(stream.host)) return null;
    const { monoMs } = this.parts.process;
    if (hello === null) {
      if (frame?.hello === undefined) return null;
      this.parts.hearing.hello(frame.hello);
      return { session: frame.hello, atMs: monoMs, heard: false };
    }
    if (session.state.t === 'Open') this.parts.hearing.frame(hello.session, monoMs);
    return hello;
  }

  #pass(hosted: Hosted): void {
    for (const { input, bytes } of hosted.session.takeInputs()) this.parts.append(input, bytes);
  }

  #markDirty(hosted: Hosted): void {
    this.#dirty.add(hosted);
    if (this.#flushDue) return;
    this.#flushDue = true;
    this.parts.process.defer(() => {
      this.#flushDue = false;
      const dirty = [...this.#dirty];
      this.#dirty.clear();
      for (const one of dirty) this.#flush(one);
    });
  }

  #flush(hosted: Hosted): void {
    if (hosted.over) return;
    const { session, stream } = hosted;
    this.#pass(hosted);
    while (stream.takesFromCoordinator) {
      const bytes = session.takeFrame(this.parts.process.monoMs);
      if (bytes === undefined) break;
      this.parts.model.frameToWorker(stream.host, fromBinary(ConnectResponseSchema, bytes));
      stream.fromCoordinator(bytes);
    }
    this.#pass(hosted);
    if (session.state.t !== 'Ended') return;
    const { error } = session.state;
    this.#checkEnd(hosted, error);
    hosted.over = true;
    this.#hosted.delete(session.sessionId);
    this.parts.trace.add('coordinator', `session ${session.sessionId} of ${stream.host} ends ${error?.reason ?? ''}`);
    stream.closeFromCoordinator(
      error === null
        ? { code: 'OK', reason: '', message: '' }
        : { code: Code[error.code], reason: error.reason, message: error.message },
    );
  }

  /** Section 7: of two streams of one process the newer one stays, whichever is heard last. */
  #checkEnd({ session, stream, hello }: Hosted, error: FleetError | null): void {
    const { hearing, model } = this.parts;
    if (error?.reason !== 'STALE_SESSION' || hello === null || model.hasRepeats(session.workerId)) return;
    if (hearing.isNewest(hello.session)) model.fail('the newest stream of a process stays', stream.host);
  }

  #tick(): void {
    this.parts.process.after(TICK_MS, () => {
      this.#tick();
      this.parts.process.defer(() => {
        const nowMs = this.parts.process.monoMs;
        for (const hosted of this.#hosted.values()) {
          hosted.session.tick(nowMs);
          this.#pass(hosted);
          if (hosted.session.state.t === 'Ended' || hosted.session.ackIsDue(nowMs)) this.#flush(hosted);
        }
      });
    });
  }
}

/** Undefined: the bytes are no frame. */
function decode(bytes: Uint8Array): ConnectRequest | undefined {
  try {
    return fromBinary(ConnectRequestSchema, bytes, { readUnknownFields: false });
  } catch {
    return undefined;
  }
}
