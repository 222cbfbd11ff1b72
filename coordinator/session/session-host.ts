import { fromBinary } from '@bufbuild/protobuf';
import { status as Code, type MethodDefinition, type Server, type ServerDuplexStream } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { GatedWriter } from '../../proto/gated-writer.js';
import {
  ConnectRequestSchema,
  WorkerService,
  type ConnectRequest,
} from '../../proto/gen/remuda/v1/worker_service_pb.js';
import { methodDefinition } from '../../proto/service-definition.js';
import type { Input } from '../core/inputs.js';
import type { SessionOutput } from '../core/outputs.js';
import type { SessionGateway } from '../engine.js';
import { PausedStreams } from '../paused-streams.js';
import type { Runtime } from '../runtime.js';
import { Session, type SessionTerms } from './session.js';

/** Where the sessions' inputs go: the engine. */
export interface SessionInbox {
  append(input: Input, bytes: number): boolean;
  onDrained(run: () => void): void;
  wasDeaf(deafMs: number): void;
}

export interface SessionHostOptions {
  readonly inbox: SessionInbox;
  readonly runtime: Runtime;
  readonly terms: SessionTerms;
  /** Streams at a time. */
  readonly maxSessions: number;
  /** Why no worker may join now; null: it may. */
  readonly refusal: () => FleetError | null;
  /** A stream has ended; `error` is why we ended it, null: it ended by itself. */
  readonly onEnd: (end: { sessionId: number; workerId: string; peer: string; error: FleetError | null }) => void;
}

/** Counted since the start. */
export interface SessionFigures {
  sessions: number;
  framesReceived: number;
  framesSent: number;
  bytesReceived: number;
  bytesSent: number;
}

/** A frame as read, with its size; undefined: the bytes are no frame. */
interface Arrival {
  readonly frame: ConnectRequest | undefined;
  readonly bytes: number;
}

type Call = ServerDuplexStream<Arrival, Buffer>;

/** How often sessions look at the clock: for suspects, late hellos and acknowledgements that nothing carries. */
const TICK_MS = 100;
/** How long workers may take to hear that the coordinator will be back. */
const ANNOUNCE_MS = 500;
const READ_OPTIONS = { readUnknownFields: false } as const;

/** Frames are decoded and encoded here, so that their bytes can be counted. */
const connect: MethodDefinition<Arrival, Buffer> = {
  ...methodDefinition(WorkerService.method.connect),
  requestSerialize: () => {
    throw new Error('the coordinator sends no requests');
  },
  requestDeserialize: (bytes) => ({ frame: decode(bytes), bytes: bytes.byteLength }),
  responseSerialize: (bytes) => bytes,
  responseDeserialize: (bytes) => bytes,
};

function decode(bytes: Buffer): ConnectRequest | undefined {
  try {
    return fromBinary(ConnectRequestSchema, bytes, READ_OPTIONS);
  } catch {
    return undefined;
  }
}

/** One stream with its session. */
interface Hosted {
  readonly session: Session;
  readonly call: Call;
  readonly peer: string;
  readonly writer: GatedWriter;
  over: boolean;
}

/** Hosts the sessions over grpc-js streams. Nothing acts inside a stream's event; all that arrived in a turn leaves in one flush. */
export class SessionHost implements SessionGateway {
  readonly #options: SessionHostOptions;
  readonly #hosted = new Map<number, Hosted>();
  readonly #dirty = new Set<Hosted>();
  readonly #figures: SessionFigures = { sessions: 0, framesReceived: 0, framesSent: 0, bytesReceived: 0, bytesSent: 0 };
  readonly #paused: PausedStreams;
  /** Since when some stream has not been read, or until when that has been told. */
  #deafSinceMs = 0;
  #nextSessionId = 1;
  #flushDue = false;
  #forgetTick: (() => void) | null = null;
  /** Called whenever something has been acknowledged, or a stream has ended. */
  #onSettled: () => void = () => undefined;

  constructor(options: SessionHostOptions) {
    this.#options = options;
    this.#paused = new PausedStreams(options.inbox, () => this.#tellDeaf());
  }

  get figures(): Readonly<SessionFigures> {
    return { ...this.#figures, sessions: this.#hosted.size };
  }

  /** Adds WorkerService to a server. */
  addToServer(server: Pick<Server, 'addService'>): void {
    server.addService({ connect }, { connect: (call: Call) => this.#accept(call) });
    this.#tick();
  }

  deliver(sessionId: number, outputs: readonly SessionOutput[]): void {
    const hosted = this.#hosted.get(sessionId);
    if (hosted === undefined) return;
    hosted.session.deliver(outputs);
    this.#flush(hosted);
  }

  /**
   * Tells every worker that the coordinator will be back, and that what runs may run on for so long. Fulfilled when all have
   * acknowledged it, at most {@link ANNOUNCE_MS} later.
   */
  async announceReturn(holdMs: number): Promise<void> {
    const { runtime } = this.#options;
    for (const hosted of [...this.#hosted.values()]) {
      hosted.session.announceReturn(holdMs);
      this.#flush(hosted);
    }
    await new Promise<void>((resolve) => {
      const forget = runtime.after(ANNOUNCE_MS, resolve);
      this.#onSettled = () => {
        if (![...this.#hosted.values()].every(({ session }) => session.isSettled)) return;
        forget();
        resolve();
      };
      this.#onSettled();
    });
    this.#onSettled = () => undefined;
  }

  /** Ends every stream and takes no new one. Idempotent. */
  stop(error: FleetError): void {
    this.#forgetTick?.();
    this.#forgetTick = null;
    for (const hosted of this.#hosted.values()) {
      hosted.session.end(error);
      this.#flush(hosted);
    }
  }

  #accept(call: Call): void {
    const { runtime, terms, refusal } = this.#options;
    const refused = refusal() ?? this.#refuseCrowd();
    if (refused !== null) {
      call.emit('error', refused.toStatus());
      return;
    }
    const sessionId = this.#nextSessionId;
    this.#nextSessionId += 1;
    const session = new Session(sessionId, terms, runtime.now().monoMs);
    const writer = new GatedWriter(call, () => this.#markDirty(hosted));
    const hosted: Hosted = { session, call, peer: call.getPeer(), writer, over: false };
    this.#hosted.set(sessionId, hosted);
    call.on('data', ({ frame, bytes }: Arrival) => {
      this.#figures.framesReceived += 1;
      this.#figures.bytesReceived += bytes;
      session.frame(runtime.now().monoMs, frame, bytes);
      this.#pass(hosted);
      this.#markDirty(hosted);
    });
    const gone = (): void => {
      session.end(null);
      this.#markDirty(hosted);
    };
    call.on('end', gone);
    call.on('cancelled', gone);
    call.on('error', gone);
    call.on('close', gone);
  }

  #refuseCrowd(): FleetError | null {
    const { maxSessions } = this.#options;
    if (this.#hosted.size < maxSessions) return null;
    const message = `${this.#hosted.size} streams are open, the bound is ${maxSessions}; raise --max-workers, or look for who opens so many`;
    return new FleetError(Code.RESOURCE_EXHAUSTED, 'FLEET_FULL', message, { retryDelayMs: 1_000 });
  }

  /** Hands what the session has for the core to the engine; when that has no more room, the stream is not read. */
  #pass(hosted: Hosted): void {
    const { inbox, runtime } = this.#options;
    let hasRoom = true;
    for (const { input, bytes } of hosted.session.takeInputs()) hasRoom = inbox.append(input, bytes);
    if (!hasRoom && this.#paused.pause(hosted.call)) this.#deafSinceMs = runtime.now().monoMs;
  }

  /** Some paused streams are about to be read again. */
  #tellDeaf(): void {
    const { inbox, runtime } = this.#options;
    const nowMs = runtime.now().monoMs;
    inbox.wasDeaf(nowMs - this.#deafSinceMs);
    this.#deafSinceMs = nowMs;
  }

  #markDirty(hosted: Hosted): void {
    this.#dirty.add(hosted);
    if (this.#flushDue) return;
    this.#flushDue = true;
    this.#options.runtime.defer(() => {
      this.#flushDue = false;
      const dirty = [...this.#dirty];
      this.#dirty.clear();
      for (const one of dirty) this.#flush(one);
    });
  }

  #flush(hosted: Hosted): void {
    if (hosted.over) return;
    const { session, call, writer } = hosted;
    const { runtime } = this.#options;
    this.#pass(hosted);
    while (writer.hasRoom && !call.cancelled) {
      const bytes = session.takeFrame(runtime.now().monoMs);
      if (bytes === undefined) break;
      this.#write(hosted, bytes);
    }
    this.#pass(hosted);
    if (session.state.t === 'Ended') this.#finish(hosted, session.state.error);
    this.#onSettled();
  }

  #write(hosted: Hosted, bytes: Buffer): void {
    this.#figures.framesSent += 1;
    this.#figures.bytesSent += bytes.byteLength;
    hosted.writer.write(bytes);
  }

  #finish(hosted: Hosted, error: FleetError | null): void {
    const { session, call, peer } = hosted;
    hosted.over = true;
    this.#paused.delete(call);
    this.#hosted.delete(session.sessionId);
    if (error === null) call.end();
    else call.emit('error', error.toStatus());
    this.#options.onEnd({ sessionId: session.sessionId, workerId: session.workerId, peer, error });
  }

  #tick(): void {
    const { runtime } = this.#options;
    this.#forgetTick = runtime.after(TICK_MS, () => {
      this.#tick();
      // Node runs timers before it reads sockets: what has arrived meanwhile must count first.
      runtime.defer(() => this.#look());
    });
  }

  #look(): void {
    const nowMs = this.#options.runtime.now().monoMs;
    for (const hosted of this.#hosted.values()) {
      const { session } = hosted;
      // One that we do not read is not judged by what it has not acknowledged.
      if (!this.#paused.has(hosted.call)) session.tick(nowMs);
      this.#pass(hosted);
      if (session.state.t === 'Ended' || session.ackIsDue(nowMs)) this.#flush(hosted);
    }
  }
}

/** How streams end when the coordinator stops: dial again, and soon. */
export function coordinatorStopping(): FleetError {
  const message = 'the coordinator is stopping; dial again, and keep what runs';
  return new FleetError(Code.UNAVAILABLE, 'COORDINATOR_STOPPING', message, { retryDelayMs: 100 });
}
