import { create } from '@bufbuild/protobuf';
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

/** Elements of up to so many bytes share a frame; a larger one goes alone. */
const FRAME_BYTES_MAX = 262_144;
/** Bounds of what waits for a frame. */
const WAITING_ELEMENTS_MAX = 1_024;
const WAITING_BYTES_MAX = 4_194_304;
/** A frame is acknowledged this long after its arrival at the latest: well within the contract's 200 ms. */
const ACK_DELAY_MS = 100;
/** What a frame and each element take beside their payloads, generously. */
const ELEMENT_BYTES = 256;

type Element =
  | { readonly kind: 'started' | 'notStarted'; readonly value: AttemptRef }
  | { readonly kind: 'reports'; readonly value: Report }
  | { readonly kind: 'progress'; readonly value: Progress };

/** The worker's end of one stream: numbers, acknowledgements, and what waits to be said. Pure, like the machine. */
export class WorkerLink implements AttemptSink {
  private sentSeq = 0;
  private receivedSeq = 0;
  /** When a frame arrived that nothing has acknowledged yet. */
  private ackOwedMs: number | undefined;
  /** Frames sent and not acknowledged, oldest first. */
  private unacked: { readonly seq: number; readonly sentMs: number }[] = [];
  private helloWaiting: Hello | undefined;
  private heartbeatWaiting: Heartbeat | undefined;
  private leavingWaiting: Leaving | undefined;
  /** Small and urgent: goes before reports. */
  private readonly control: Element[] = [];
  private readonly data: Element[] = [];
  private dataBytes = 0;

  /** The first thing said. */
  hello(hello: Hello): void {
    this.helloWaiting = hello;
  }

  /** The newest replaces one that has not left. */
  heartbeat(heartbeat: Heartbeat): void {
    this.heartbeatWaiting = heartbeat;
  }

  leaving(leaving: Leaving): void {
    this.leavingWaiting = leaving;
  }

  started(ref: AttemptRef): boolean {
    return this.push(this.control, { kind: 'started', value: ref });
  }

  notStarted(ref: AttemptRef): boolean {
    return this.push(this.control, { kind: 'notStarted', value: ref });
  }

  report(report: Report): boolean {
    return this.push(this.data, { kind: 'reports', value: report });
  }

  progress(progress: Progress): boolean {
    return this.push(this.data, { kind: 'progress', value: progress });
  }

  private push(queue: Element[], element: Element): boolean {
    if (queue.length >= WAITING_ELEMENTS_MAX || this.dataBytes >= WAITING_BYTES_MAX) return false;
    queue.push(element);
    if (queue === this.data) this.dataBytes += sizeOf(element);
    return true;
  }

  /** A frame has arrived. `fresh` if it says something new; `ackedSentMs` if it acknowledges more than before. */
  receive(nowMs: number, frame: ConnectResponse): { fresh: boolean; ackedSentMs: number | undefined } {
    const ack = Number(frame.ack);
    let ackedSentMs: number | undefined;
    while (this.unacked[0] !== undefined && this.unacked[0].seq <= ack) ackedSentMs = this.unacked.shift()?.sentMs;
    const seq = Number(frame.seq);
    const fresh = seq > this.receivedSeq;
    if (fresh) {
      this.receivedSeq = seq;
      this.ackOwedMs ??= nowMs;
    }
    return { fresh, ackedSentMs };
  }

  /** The next frame; undefined if there is nothing to say now. */
  next(nowMs: number): ConnectRequest | undefined {
    const frame = create(ConnectRequestSchema, { ack: BigInt(this.receivedSeq) });
    if (!this.fill(frame)) {
      if (nowMs < this.ackDueMs()) return undefined;
      this.ackOwedMs = undefined;
      return frame;
    }
    this.sentSeq += 1;
    frame.seq = BigInt(this.sentSeq);
    this.unacked.push({ seq: this.sentSeq, sentMs: nowMs });
    this.ackOwedMs = undefined;
    return frame;
  }

  private fill(frame: ConnectRequest): boolean {
    if (this.helloWaiting !== undefined) {
      frame.hello = this.helloWaiting;
      this.helloWaiting = undefined;
      return true;
    }
    let says = false;
    if (this.heartbeatWaiting !== undefined) {
      frame.heartbeat = this.heartbeatWaiting;
      this.heartbeatWaiting = undefined;
      says = true;
    }
    if (this.leavingWaiting !== undefined) {
      frame.leaving = this.leavingWaiting;
      this.leavingWaiting = undefined;
      says = true;
    }
    let bytes = 0;
    for (const queue of [this.control, this.data]) {
      let taken = 0;
      for (const element of queue) {
        const size = sizeOf(element);
        if (bytes > 0 && bytes + size > FRAME_BYTES_MAX) break;
        bytes += size;
        taken += 1;
        if (queue === this.data) this.dataBytes -= size;
        addTo(frame, element);
      }
      queue.splice(0, taken);
    }
    return says || bytes > 0;
  }

  /** When the oldest frame that is not acknowledged was sent; undefined if all are. */
  oldestUnackedMs(): number | undefined {
    return this.unacked[0]?.sentMs;
  }

  /** When a bare acknowledgement is due; Infinity: nothing is owed. */
  ackDueMs(): number {
    return this.ackOwedMs === undefined ? Infinity : this.ackOwedMs + ACK_DELAY_MS;
  }

  /** True if everything has been said and acknowledged. */
  get idle(): boolean {
    const waiting = this.control.length + this.data.length;
    return waiting === 0 && this.leavingWaiting === undefined && this.unacked.length === 0;
  }
}

function addTo(frame: ConnectRequest, element: Element): void {
  switch (element.kind) {
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

function sizeOf(element: Element): number {
  switch (element.kind) {
    case 'reports': {
      const { result, failure } = element.value;
      const failureChars = (failure?.message.length ?? 0) + (failure?.stack.length ?? 0);
      return ELEMENT_BYTES + payloadBytes(result) + failureChars * 3;
    }
    case 'progress':
      return ELEMENT_BYTES + payloadBytes(element.value.data);
    default:
      return ELEMENT_BYTES;
  }
}

function payloadBytes(payload: Report['result']): number {
  return payload?.body.case === 'data' ? payload.body.value.byteLength : 0;
}
