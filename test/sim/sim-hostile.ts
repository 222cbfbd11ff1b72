import { fromBinary } from '@bufbuild/protobuf';
import { ConnectResponseSchema, type ConnectResponse } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import type { StreamEnd } from '../../client/frame-stream.js';
import type { SimClock } from './clock.js';
import { SCRIPTS, type HostileKind, type Script } from './hostile-scripts.js';
import type { Model } from './model.js';
import type { SimNetwork, SimStream } from './network.js';
import type { Prng } from './random.js';
import type { SimCoordinator } from './sim-coordinator.js';
import type { Trace } from './trace.js';

/** What hostile processes need. */
export interface HostileParts {
  readonly clock: SimClock;
  readonly network: SimNetwork;
  readonly random: Prng;
  readonly model: Model;
  readonly trace: Trace;
  readonly coordinator: () => SimCoordinator;
}

/** Longer than a hello is waited for, and than anything holds a stream up. */
const END_WITHIN_MS = 150_000;
const LEAVES_AFTER_MS = 20_000;
const ENDED = 'a stream that breaks the rules is ended, and told why';

/**
 * A process that speaks the protocol by hand, wrongly or with what it has overheard, on a stream of its own. It has an id and an
 * incarnation of its own: who may claim another's is a matter of authentication.
 */
export class SimHostile {
  readonly #host: string;
  readonly #script: Script;
  readonly #server: SimCoordinator;
  #stream: SimStream | null = null;
  #welcomed = false;

  constructor(
    private readonly parts: HostileParts,
    private readonly kind: HostileKind,
  ) {
    const { random, trace, coordinator } = parts;
    this.#host = `hostile/${random.hex(6)}~1`;
    const workerId = this.#host.replace('~1', '');
    this.#script = SCRIPTS[kind]({ random, workerId, incarnation: random.hex(32), overheard: parts.model.overheard });
    this.#server = coordinator();
    trace.add(this.#host, `says ${kind}`);
  }

  /** Dials and says its opening. */
  start(): void {
    const { clock, network } = this.parts;
    this.#stream = network.dial(this.#host, {
      reads: () => true,
      onFrame: (bytes) => this.#hear(fromBinary(ConnectResponseSchema, bytes)),
      onWritable: () => undefined,
      onEnd: (end) => this.#ended(end),
    });
    // Nothing else harms it: what ends it is the coordinator.
    network.streams.delete(this.#stream);
    this.#say(this.#script.opening);
    if (this.#script.endsWith === null) {
      clock.after(LEAVES_AFTER_MS, () => this.#leave());
      return;
    }
    clock.after(END_WITHIN_MS, () =>
      this.#judge(() => clock.after(1_000, () => this.#judge(() => this.parts.model.fail(ENDED, this.kind)))),
    );
  }

  #say(frames: readonly Uint8Array[]): void {
    for (const bytes of frames) this.#stream?.fromWorker(bytes);
  }

  #hear({ welcome, assignments }: ConnectResponse): void {
    if (assignments.length > 0) this.parts.model.fail('who offers nothing is given nothing', this.#host);
    if (welcome === undefined || this.#welcomed) return;
    this.#welcomed = true;
    this.#say(this.#script.then);
  }

  #ended({ code, reason, message }: StreamEnd): void {
    this.#stream = null;
    const { model, trace } = this.parts;
    trace.add(this.#host, `is ended: ${code} ${reason} ${message.slice(0, 80)}`);
    // The coordinator is gone, or stood still until the lease was over.
    const isOver = code === 'UNAVAILABLE' && ['', 'COORDINATOR_STOPPING', 'LEASE_LOST'].includes(reason);
    const { endsWith } = this.#script;
    if (endsWith !== null && reason !== endsWith && !isOver)
      model.fail(ENDED, `${this.kind}: ${code} ${reason}, not ${endsWith}`);
  }

  #leave(): void {
    this.#stream?.closeFromWorker();
    this.#stream = null;
  }

  /** Only after it has been awake for a while: a coordinator that stands still ends nothing. */
  #judge(then: () => void): void {
    const { coordinator } = this.parts;
    const wasWelcomed = this.#welcomed || this.#script.then.length === 0;
    const couldEnd = coordinator() === this.#server && this.#server.listening && !this.#server.process.stalled;
    if (this.#stream !== null && wasWelcomed && couldEnd) then();
    else this.#leave();
  }
}
