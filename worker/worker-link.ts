import { create } from '@bufbuild/protobuf';
import { FRAME_LINK_LIMITS, FrameLink } from '../proto/frame-link.js';
import {
  ConnectRequestSchema,
  type AttemptRef,
  type ConnectRequest,
  type ConnectResponse,
  type Heartbeat,
  type Hello,
  type Leaving,
  type Progress,
  type Report,
} from '../proto/gen/remuda/v1/worker_service_pb.js';
import type { AttemptSink } from './attempt-keeper.js';

/** What an element takes besides its payload, generously. */
const ELEMENT_BYTES = 256;

type Element =
  | { readonly kind: 'hello'; readonly value: Hello }
  | { readonly kind: 'heartbeat'; readonly value: Heartbeat }
  | { readonly kind: 'leaving'; readonly value: Leaving }
  | { readonly kind: 'started' | 'notStarted'; readonly value: AttemptRef }
  | { readonly kind: 'reports'; readonly value: Report }
  | { readonly kind: 'progress'; readonly value: Progress };

/** The worker's end of one stream: what it says, in frames. Pure, like the machine. */
export class WorkerLink implements AttemptSink {
  private readonly link = new FrameLink<Element>();
  /** Not in the queue, because the newest replaces one that has not left. */
  private heartbeatWaiting: Heartbeat | undefined;

  /** The first thing said. */
  hello(value: Hello): void {
    // It goes alone, and nothing is queued before the welcome: its size does not matter.
    this.link.enqueue({ kind: 'hello', value }, ELEMENT_BYTES, 'control');
  }

  heartbeat(value: Heartbeat): void {
    this.heartbeatWaiting = value;
  }

  leaving(value: Leaving): void {
    this.link.enqueue({ kind: 'leaving', value }, ELEMENT_BYTES, 'control');
  }

  started(value: AttemptRef): boolean {
    return this.offer({ kind: 'started', value }, 0, 'control');
  }

  notStarted(value: AttemptRef): boolean {
    return this.offer({ kind: 'notStarted', value }, 0, 'control');
  }

  report(value: Report): boolean {
    const { result, failure } = value;
    const failureChars = (failure?.message.length ?? 0) + (failure?.stack.length ?? 0);
    return this.offer({ kind: 'reports', value }, payloadBytes(result) + failureChars * 3, 'data');
  }

  progress(value: Progress): boolean {
    return this.offer({ kind: 'progress', value }, payloadBytes(value.data), 'data');
  }

  /** Queues within the bounds; what is refused stays with the keeper, which offers it again. */
  private offer(element: Element, payload: number, lane: 'control' | 'data'): boolean {
    const { maxQueued, maxQueuedBytes } = FRAME_LINK_LIMITS;
    if (this.link.queuedCount >= maxQueued || this.link.queuedBytes >= maxQueuedBytes) return false;
    this.link.enqueue(element, ELEMENT_BYTES + payload, lane);
    return true;
  }

  /**
   * A frame has arrived. `fresh` if it says something; `ackedSentMs` if it acknowledges more than before.
   *
   * @throws FleetError for numbers that do not follow
   */
  receive(nowMs: number, { seq, ack }: ConnectResponse): { fresh: boolean; ackedSentMs: number | undefined } {
    return this.link.receive(seq, ack, nowMs);
  }

  /** The next frame; undefined if there is nothing to say now. */
  next(nowMs: number): ConnectRequest | undefined {
    if (this.heartbeatWaiting !== undefined) {
      this.link.enqueue({ kind: 'heartbeat', value: this.heartbeatWaiting }, ELEMENT_BYTES, 'control');
      this.heartbeatWaiting = undefined;
    }
    const next = this.link.nextFrame(nowMs);
    if (next === undefined) return undefined;
    const frame = create(ConnectRequestSchema, { seq: next.seq, ack: next.ack });
    for (const element of next.elements) addTo(frame, element);
    return frame;
  }

  /** When the oldest frame that is not acknowledged was sent; undefined if all are. */
  oldestUnackedMs(): number | undefined {
    return this.link.oldestUnackedSentMs;
  }

  /** When a bare acknowledgement is due; Infinity: nothing is owed. */
  ackDueMs(): number {
    return this.link.ackDueMs ?? Infinity;
  }

  /** True if everything has been said and acknowledged. */
  get idle(): boolean {
    return this.link.idle && this.heartbeatWaiting === undefined;
  }
}

function addTo(frame: ConnectRequest, element: Element): void {
  switch (element.kind) {
    case 'hello':
      frame.hello = element.value;
      break;
    case 'heartbeat':
      frame.heartbeat = element.value;
      break;
    case 'leaving':
      frame.leaving = element.value;
      break;
    case 'started':
    case 'notStarted':
      frame[element.kind].push(element.value);
      break;
    case 'reports':
      frame.reports.push(element.value);
      break;
    case 'progress':
      frame.progress.push(element.value);
  }
}

function payloadBytes(payload: Report['result']): number {
  return payload?.body.case === 'data' ? payload.body.value.byteLength : 0;
}
