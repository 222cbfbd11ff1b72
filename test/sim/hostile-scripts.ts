import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import type { AttemptRef } from '../../coordinator/core/task.js';
import { AttemptOutcome } from '../../proto/gen/remuda/v1/task_pb.js';
import { ConnectRequestSchema, type HelloSchema } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import type { Prng } from './random.js';

/** What a hostile process says, as encoded frames. */
export interface Script {
  /** At once. */
  readonly opening: readonly Uint8Array[];
  /** When it is welcomed. */
  readonly then: readonly Uint8Array[];
  /** The coordinator has to end the stream, with this reason; null: it may go on. */
  readonly endsWith: string | null;
}

/** What a script is written with. */
export interface ScriptParts {
  readonly random: Prng;
  readonly workerId: string;
  readonly incarnation: string;
  /** Attempts of others that are, or were, on the wire. */
  readonly overheard: readonly AttemptRef[];
}

/** Far above what a frame or a hello may hold. */
const TOO_MANY = 5_000;
const FAIR: Pick<Script, 'then' | 'endsWith'> = { then: [], endsWith: 'INVALID_FRAME' };

/** Everything that a hostile or broken process may say. */
export const SCRIPTS = {
  garbage: ({ random }) => ({ ...FAIR, opening: [noise(random)] }),

  frameBeforeHello: (parts) => ({ ...FAIR, opening: [reports(parts, 1)], endsWith: 'FIRST_FRAME_NOT_HELLO' }),

  silence: () => ({ ...FAIR, opening: [], endsWith: 'HELLO_TIMEOUT' }),

  badHello: (parts) => ({
    ...FAIR,
    opening: [
      hello(
        parts,
        parts.random.pick<HelloInit>([
          { slots: 2_000_000_000 },
          { slots: -1, prefetch: -5 },
          { incarnation: 'mine' },
          { sessionNumber: 0 },
          { taskTypes: Array.from({ length: TOO_MANY }, (_, index) => ({ type: `t${index}` })) },
          { running: Array.from({ length: TOO_MANY }, () => ({ attempt: forged(parts) })) },
          { unsentReports: Array.from({ length: TOO_MANY }, () => forged(parts)) },
          { replaces: Array.from({ length: TOO_MANY }, () => parts.random.hex(32)) },
        ]),
      ),
    ],
    endsWith: 'INVALID_HELLO',
  }),

  helloTwice: (parts) => ({ opening: [hello(parts)], then: [hello(parts, {}, 2n)], endsWith: 'SECOND_HELLO' }),

  /** The welcome may be under way by the time it arrives. */
  frameBeforeWelcome: (parts) => ({ opening: [hello(parts), reports(parts, 2)], then: [], endsWith: null }),

  garbageLater: (parts) => ({ ...FAIR, opening: [hello(parts)], then: [heartbeat(2n), noise(parts.random)] }),

  wrongNumbers: (parts) => ({
    ...FAIR,
    opening: [hello(parts)],
    then: [
      encode({
        heartbeat: {},
        ...parts.random.pick([{ seq: 3n }, { seq: 1n }, { seq: -2n }, { seq: 2n ** 60n }, { seq: 2n, ack: 99n }]),
      }),
    ],
  }),

  /** Its hello claims what others hold and owe; then come their reports, starts and returns, true ones and forged. */
  impostor: (parts) => {
    const running = parts.overheard.slice(-2).map((attempt) => ({ attempt, started: true }));
    return {
      opening: [hello(parts, { slots: 2, running, unsentReports: [...parts.overheard.slice(-40)] })],
      then: [reports(parts, 2), reports(parts, 3)],
      endsWith: null,
    };
  },

  flood: (parts) => ({ opening: [hello(parts)], then: [reports(parts, 2, 400)], endsWith: null }),
} satisfies Record<string, (parts: ScriptParts) => Script>;

export type HostileKind = keyof typeof SCRIPTS;

type HelloInit = MessageInitShape<typeof HelloSchema>;

function encode(said: MessageInitShape<typeof ConnectRequestSchema>): Uint8Array {
  return toBinary(ConnectRequestSchema, create(ConnectRequestSchema, said));
}

function noise(random: Prng): Uint8Array {
  // A field with wire type 7 is no protobuf, whatever follows.
  return Uint8Array.from([0xff, ...Array.from({ length: random.int(0, 64) }, () => random.int(0, 255))]);
}

function heartbeat(seq: bigint): Uint8Array {
  return encode({ seq, heartbeat: {} });
}

/** Offers what nobody submits. */
function hello({ workerId, incarnation }: ScriptParts, with_: HelloInit = {}, seq = 1n): Uint8Array {
  const offer = { slots: 1, taskTypes: [{ type: 'nothing' }], version: 'hostile', host: 'hostile', pid: 1 };
  return encode({ seq, hello: { workerId, incarnation, sessionNumber: 1, ...offer, ...with_ } });
}

/** One that was overheard, or nearly. */
function forged({ random, overheard }: ScriptParts): AttemptRef {
  const made = { taskId: random.uuid(), attempt: random.int(1, 3), leaseId: random.hex(16) };
  if (overheard.length === 0) return made;
  const heard = random.pick(overheard);
  return random.pick([
    made,
    heard,
    heard,
    heard,
    { ...heard, attempt: heard.attempt + 1 },
    { ...heard, leaseId: made.leaseId },
  ]);
}

function reports(parts: ScriptParts, seq: number, count = 30): Uint8Array {
  const { random } = parts;
  const outcomes = [AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED, AttemptOutcome.RELEASED, AttemptOutcome.CANCELLED];
  const refs = Array.from({ length: count }, () => forged(parts));
  return encode({
    seq: BigInt(seq),
    ack: seq > 1 ? 1n : 0n,
    started: refs,
    notStarted: refs,
    reports: refs.map((attempt) => ({
      attempt,
      outcome: random.pick(outcomes),
      result: { contentType: 'application/json', body: { case: 'data', value: Buffer.from('"hostile"') } },
      failure: { reason: 'HOSTILE', message: 'made up', nonRetryable: random.chance(0.5) },
    })),
    progress: refs.map((attempt) => ({ attempt, number: 1_000 })),
  });
}
