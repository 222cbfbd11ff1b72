import { create, toBinary } from '@bufbuild/protobuf';
import { FrameLink, type FrameLinkLimits } from '../../proto/frame-link.js';
import {
  AssignmentSchema,
  AttemptRefSchema,
  CancelReason,
  CancelSchema,
  ConnectResponseSchema,
  DrainSchema,
  ReconnectSchema,
  ReportAckSchema,
  type Assignment,
  type AttemptRef as AttemptRefMessage,
  type Cancel,
  type ConnectResponse,
  type Drain,
  type Reconnect,
  type ReportAck,
  type Welcome,
} from '../../proto/gen/remuda/v1/worker_service_pb.js';
import { dataPayload } from '../../proto/payload.js';
import type { SessionOutput } from '../core/outputs.js';
import type { AttemptRef } from '../core/task.js';

/** What an element takes besides its payload and texts, generously. */
const ELEMENT_BYTES = 192;

type Element =
  | { readonly kind: 'welcome'; readonly value: Welcome }
  | { readonly kind: 'assign'; readonly value: Assignment; readonly ref: AttemptRef }
  | { readonly kind: 'reportAck'; readonly value: ReportAck }
  | { readonly kind: 'cancel'; readonly value: Cancel }
  | { readonly kind: 'revoke'; readonly value: AttemptRefMessage }
  | { readonly kind: 'drain'; readonly value: Drain }
  | { readonly kind: 'reconnect'; readonly value: Reconnect };

type Output<K extends SessionOutput['kind']> = Extract<SessionOutput, { kind: K }>;

const CANCEL_REASONS = {
  REQUESTED: CancelReason.REQUESTED,
  DEADLINE: CancelReason.DEADLINE,
  TIMED_OUT: CancelReason.TIMED_OUT,
  FENCED: CancelReason.FENCED,
} as const;

/** What has arrived, as far as it concerns what we have said. */
export interface Acknowledged {
  /** False for a bare acknowledgement. */
  readonly fresh: boolean;
  /** Assignments whose frames have now arrived at the worker. */
  readonly held: readonly AttemptRef[];
}

/** What waits for one worker, in frames of the contract. Control goes before assignments; see {@link FrameLink}. */
export class Outbox {
  readonly #link: FrameLink<Element>;
  /** Task ids of assignments that are in no frame yet. */
  readonly #unsent = new Set<string>();

  constructor(limits: Partial<FrameLinkLimits> = {}) {
    this.#link = new FrameLink<Element>(limits);
  }

  /** Elements that wait for a frame. */
  get queuedCount(): number {
    return this.#link.queuedCount;
  }

  /** True if all that was said has been acknowledged. */
  get idle(): boolean {
    return this.#link.idle;
  }

  /** True if more waits than the bounds allow. */
  get overBound(): boolean {
    return this.#link.overBound;
  }

  /** When the oldest unacknowledged frame was sent; undefined: there is none. */
  get oldestUnackedSentMs(): number | undefined {
    return this.#link.oldestUnackedSentMs;
  }

  /** When a bare acknowledgement is due; undefined: none is owed. */
  get ackDueMs(): number | undefined {
    return this.#link.ackDueMs;
  }

  welcome(value: Welcome): void {
    this.#link.enqueue({ kind: 'welcome', value }, ELEMENT_BYTES, 'control');
  }

  assign({ ref, type, timeoutMs, failureCount, body }: Output<'assign'>): void {
    if (body === null) throw new Error(`assignment of task ${ref.taskId} has no body`);
    const { payload, metadata, traceparent } = body;
    const value = create(AssignmentSchema, {
      attempt: ref,
      type,
      payload: dataPayload(payload),
      timeoutMs,
      metadata: { ...metadata },
      traceparent,
      failureCount,
    });
    let bytes = ELEMENT_BYTES + payload.data.byteLength;
    for (const [key, text] of Object.entries(metadata)) bytes += key.length + text.length * 3;
    this.#unsent.add(ref.taskId);
    this.#link.enqueue({ kind: 'assign', value, ref }, bytes, 'data');
  }

  reportAck({ ref, accepted, reason }: Output<'reportAck'>): void {
    const value = create(ReportAckSchema, { attempt: ref, accepted, reason });
    this.#link.enqueue({ kind: 'reportAck', value }, ELEMENT_BYTES, 'control');
  }

  cancel({ ref, reason }: Output<'cancel'>): void {
    const value = create(CancelSchema, { attempt: ref, reason: CANCEL_REASONS[reason] });
    // It must not overtake the assignment that it is about.
    const lane = this.#unsent.has(ref.taskId) ? 'data' : 'control';
    this.#link.enqueue({ kind: 'cancel', value }, ELEMENT_BYTES, lane);
  }

  revoke({ ref }: Output<'revoke'>): void {
    const value = create(AttemptRefSchema, ref);
    this.#link.enqueue({ kind: 'revoke', value }, ELEMENT_BYTES, 'control');
  }

  reconnect(holdMs: number): void {
    const value = create(ReconnectSchema, { holdMs });
    this.#link.enqueue({ kind: 'reconnect', value }, ELEMENT_BYTES, 'control');
  }

  drain({ deadlineMs }: Output<'drain'>): void {
    this.#link.enqueue({ kind: 'drain', value: create(DrainSchema, { deadlineMs }) }, ELEMENT_BYTES, 'control');
  }

  /** Takes back the assignments that are in no frame yet: the worker will never see them. */
  takeBackAssignments(): AttemptRef[] {
    const taken = this.#link.takeBack((element) => element.kind === 'assign');
    this.#unsent.clear();
    return taken.flatMap((element) => (element.kind === 'assign' ? [element.ref] : []));
  }

  /**
   * Takes in the numbers of a frame that has arrived.
   *
   * @throws FleetError INVALID_ARGUMENT / INVALID_FRAME for numbers that do not follow
   */
  receive(nowMs: number, seq: bigint, ack: bigint): Acknowledged {
    const { fresh, acked } = this.#link.receive(seq, ack, nowMs);
    if (acked.length === 0) return { fresh, held: [] };
    return { fresh, held: acked.flatMap((element) => (element.kind === 'assign' ? [element.ref] : [])) };
  }

  /** The next frame, encoded; undefined if there is nothing to say now. */
  takeFrame(nowMs: number): Buffer | undefined {
    const next = this.#link.nextFrame(nowMs);
    if (next === undefined) return undefined;
    const frame = create(ConnectResponseSchema, { seq: next.seq, ack: next.ack });
    for (const element of next.elements) this.#put(frame, element);
    const bytes = toBinary(ConnectResponseSchema, frame);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #put(frame: ConnectResponse, element: Element): void {
    switch (element.kind) {
      case 'welcome':
        frame.welcome = element.value;
        break;
      case 'assign':
        this.#unsent.delete(element.ref.taskId);
        frame.assignments.push(element.value);
        break;
      case 'reportAck':
        frame.reportAcks.push(element.value);
        break;
      case 'cancel':
        frame.cancels.push(element.value);
        break;
      case 'revoke':
        frame.revokes.push(element.value);
        break;
      case 'drain':
        frame.drain = element.value;
        break;
      case 'reconnect':
        frame.reconnect = element.value;
        break;
    }
  }
}
