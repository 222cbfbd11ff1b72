import {
  DAY_MS,
  FAILURE_REASON_PATTERN,
  MAX_FAILURE_MESSAGE_BYTES,
  MAX_FAILURE_STACK_BYTES,
  MAX_PROGRESS_BYTES,
} from '../../proto/bounds.js';
import { FleetError, isFleetError, type FieldViolation } from '../../proto/fleet-error.js';
import type { Failure } from '../../proto/gen/remuda/v1/payload_pb.js';
import { AttemptOutcome } from '../../proto/gen/remuda/v1/task_pb.js';
import type { ConnectRequest, Heartbeat, Progress, Report } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import { MAX_CONTENT_TYPE_CHARS, ownBytes, payloadContent } from '../../proto/payload.js';
import type { FrameInput, ReportInfo, WorkerLoad } from '../core/inputs.js';
import type * as core from '../core/task.js';
import { parseRef } from './parse-ref.js';

/** What a frame says, for the core. */
export type FrameContent = Omit<FrameInput, 'kind' | 'sessionId' | 'atMonoMs' | 'held'>;

const OUTCOMES: Partial<Record<AttemptOutcome, ReportInfo['outcome']>> = {
  [AttemptOutcome.SUCCEEDED]: 'SUCCEEDED',
  [AttemptOutcome.FAILED]: 'FAILED',
  [AttemptOutcome.TIMED_OUT]: 'TIMED_OUT',
  [AttemptOutcome.CANCELLED]: 'CANCELLED',
  [AttemptOutcome.RELEASED]: 'RELEASED',
};

/**
 * Checks a frame of a welcomed worker.
 *
 * @param maxPayloadBytes A larger result ends its attempt as a failure that says so; the frame itself is good.
 * @throws FleetError INVALID_ARGUMENT / INVALID_FRAME that names every fault
 */
export function parseFrame(frame: ConnectRequest, maxPayloadBytes: number): FrameContent {
  const faults: FieldViolation[] = [];
  const content: FrameContent = {
    started: frame.started.map((ref, index) => parseRef(ref, `started[${index}]`, faults)),
    reports: frame.reports.map((report, index) => parseReport(report, `reports[${index}]`, maxPayloadBytes, faults)),
    progress: frame.progress.map((progress, index) => parseProgress(progress, `progress[${index}]`, faults)),
    notStarted: frame.notStarted.map((ref, index) => parseRef(ref, `not_started[${index}]`, faults)),
    load: frame.heartbeat === undefined ? null : parseLoad(frame.heartbeat),
    leaving:
      frame.leaving === undefined
        ? null
        : { drainTimeoutMs: Math.min(DAY_MS, Math.max(0, frame.leaving.drainTimeoutMs)) },
  };
  if (faults.length > 0) throw FleetError.invalid('INVALID_FRAME', faults);
  return content;
}

function parseReport(report: Report, field: string, maxPayloadBytes: number, faults: FieldViolation[]): ReportInfo {
  const ref = parseRef(report.attempt, `${field}.attempt`, faults);
  // "Treat an unknown value as FAILED": also what a newer worker may say.
  const outcome = OUTCOMES[report.outcome] ?? 'FAILED';
  const ended = { ref, startDelayMs: Math.max(0, report.startDelayMs), runMs: Math.max(0, report.runMs) };
  if (outcome !== 'SUCCEEDED') return { ...ended, outcome, result: null, failure: parseFailure(report.failure) };
  checkContentType(report.result?.contentType, `${field}.result`, faults);
  const result = resultOf(report, maxPayloadBytes);
  return 'reason' in result
    ? { ...ended, outcome: 'FAILED', result: null, failure: result }
    : { ...ended, outcome, result, failure: null };
}

function resultOf({ result }: Report, maxPayloadBytes: number): core.Content | core.Failure {
  try {
    const { contentType, data } = payloadContent(result, 'result');
    if (data.byteLength > maxPayloadBytes) {
      const message = `the result has ${data.byteLength} bytes, the bound is ${maxPayloadBytes}; return a reference to it, or raise --max-payload-bytes`;
      return { reason: 'RESULT_TOO_LARGE', message, nonRetryable: true, stack: '' };
    }
    return { contentType, data: ownBytes(data) };
  } catch (error) {
    if (!isFleetError(error)) throw error;
    return { reason: 'RESULT_NOT_JSON', message: error.message, nonRetryable: true, stack: '' };
  }
}

function parseFailure(failure: Failure | undefined): core.Failure {
  const { reason, message, nonRetryable, stack } = failure ?? {
    reason: '',
    message: 'the worker said no reason',
    nonRetryable: false,
    stack: '',
  };
  return {
    reason: FAILURE_REASON_PATTERN.test(reason) ? reason : 'HANDLER_ERROR',
    message: cutBytes(message, MAX_FAILURE_MESSAGE_BYTES),
    nonRetryable,
    stack: cutBytes(stack, MAX_FAILURE_STACK_BYTES),
  };
}

function parseProgress(progress: Progress, field: string, faults: FieldViolation[]): FrameInput['progress'][number] {
  const ref = parseRef(progress.attempt, `${field}.attempt`, faults);
  checkContentType(progress.data?.contentType, `${field}.data`, faults);
  const data = progressContent(progress, field, faults);
  if (data.data.byteLength > MAX_PROGRESS_BYTES) {
    const description = `has ${data.data.byteLength} bytes; at most ${MAX_PROGRESS_BYTES} are allowed`;
    faults.push({ field: `${field}.data`, description });
  }
  return { ref, number: progress.number, data };
}

function progressContent(progress: Progress, field: string, faults: FieldViolation[]): core.Content {
  try {
    const { contentType, data } = payloadContent(progress.data, `${field}.data`);
    return { contentType, data: ownBytes(data) };
  } catch (error) {
    if (!isFleetError(error)) throw error;
    faults.push(...error.violations);
    return { contentType: '', data: new Uint8Array() };
  }
}

function checkContentType(contentType = '', field: string, faults: FieldViolation[]): void {
  if (contentType.length <= MAX_CONTENT_TYPE_CHARS) return;
  const description = `has ${contentType.length} characters; at most ${MAX_CONTENT_TYPE_CHARS} are allowed`;
  faults.push({ field: `${field}.content_type`, description });
}

function parseLoad({ cpuMillis, rssBytes, handlerLoopLagMs }: Heartbeat): WorkerLoad {
  const bytes = Number(rssBytes);
  return {
    cpuMillis: Math.max(0, cpuMillis),
    rssBytes: Number.isSafeInteger(bytes) && bytes > 0 ? bytes : 0,
    handlerLoopLagMs: Math.max(0, handlerLoopLagMs),
  };
}

/** Cut where a character ends; most texts are short enough by far, and cost no encoding. */
function cutBytes(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  return (
    Buffer.from(text)
      .subarray(0, maxBytes - 3)
      .toString()
      .replace(/\uFFFD+$/u, '') + '…'
  );
}
