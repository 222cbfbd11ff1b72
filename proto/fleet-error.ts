import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { anyPack, anyUnpack, durationFromMs, durationMs, type Any } from '@bufbuild/protobuf/wkt';
import { Metadata, status as Code } from '@grpc/grpc-js';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from './gen/google/rpc/error_details_pb.js';
import { StatusSchema, type Status } from './gen/google/rpc/status_pb.js';

/** The domain of every reason (google.rpc.ErrorInfo). */
export const ERROR_DOMAIN = 'remuda';

/** The key that gRPC itself reserves for an encoded google.rpc.Status in trailers. */
const DETAILS_KEY = 'grpc-status-details-bin';

/** Trailers share one header list, which peers bound (8 KiB in many): what goes in is bounded well below. */
const MAX_VIOLATIONS = 16;
/** In the message that stays in this process; what leaves it is cut. */
const MAX_TOLD_VIOLATIONS = 64;
const MAX_TEXT_CHARS = 1_024;
const MAX_DESCRIPTION_CHARS = 160;
const MAX_QUOTED_CHARS = 64;

/** One field of a request that is out of its bounds. */
export interface FieldViolation {
  /** Path of the field as in the contract: `options.priority`. */
  readonly field: string;
  /** What was found, with its value, and what is allowed. */
  readonly description: string;
}

/** A bound that was reached (google.rpc.QuotaFailure). */
export interface QuotaViolation {
  /** Whose bound: `coordinator`, `session:17`. */
  readonly subject: string;
  /** The bound and its value. */
  readonly description: string;
}

/** What an error may say beside its code, reason and sentence. */
export interface FleetErrorOptions {
  /** What is dynamic in the message, for machines. Default: nothing. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Fields out of their bounds (google.rpc.BadRequest). Default: none. */
  readonly violations?: readonly FieldViolation[];
  /** When a repeat may succeed, in milliseconds from now (google.rpc.RetryInfo). Default: not said. */
  readonly retryDelayMs?: number;
  /** The bound that was reached. Default: none. */
  readonly quota?: QuotaViolation;
  /** For the log; never sent. */
  readonly cause?: unknown;
}

/** How grpc-js ends a call: what `callback(error)` and `emit('error', …)` take. */
export interface GrpcStatus {
  readonly code: Code;
  readonly details: string;
  readonly metadata: Metadata;
}

/**
 * The one error of the project: a canonical gRPC code, an UPPER_SNAKE reason, and a sentence that says what happened, with
 * which value, and what to do next.
 */
export class FleetError extends Error {
  override readonly name = 'FleetError';
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly retryDelayMs: number | undefined;
  readonly quota: QuotaViolation | undefined;

  /**
   * @param code Canonical gRPC code; only UNAVAILABLE invites an automatic repeat (AIP-194).
   * @param reason UPPER_SNAKE; one for each decision that a caller makes. Empty: a peer's status without one of ours.
   */
  constructor(
    readonly code: Code,
    readonly reason: string,
    message: string,
    options: FleetErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.metadata = options.metadata ?? {};
    this.violations = options.violations ?? [];
    this.retryDelayMs = options.retryDelayMs;
    this.quota = options.quota;
  }

  /** INVALID_ARGUMENT with every violation in one message. */
  static invalid(reason: string, violations: readonly FieldViolation[], options: FleetErrorOptions = {}): FleetError {
    const shown = violations.slice(0, MAX_TOLD_VIOLATIONS);
    const message = shown.map(({ field, description }) => `${field}: ${description}`).join('; ');
    const more = violations.length - shown.length;
    return new FleetError(Code.INVALID_ARGUMENT, reason, more > 0 ? `${message}; and ${more} more` : message, {
      ...options,
      violations,
    });
  }

  /**
   * Anything thrown as a FleetError: itself, a peer's gRPC status with its details, or INTERNAL for what should not happen.
   * What an unexpected error says stays in `cause`, since it may name what a peer must not learn.
   */
  static from(error: unknown): FleetError {
    if (error instanceof FleetError) return error;
    if (isServiceError(error)) return FleetError.fromStatus(error);
    const message = 'something unexpected happened, which is a bug: the log has the cause; please report it';
    return new FleetError(Code.INTERNAL, 'INTERNAL', message, { cause: error });
  }

  /** A status as grpc-js hands it to callers (ServiceError, StatusObject); its details are read if they can be. */
  static fromStatus(status: StatusLike): FleetError {
    return FleetError.#read(status.code, status.details, detailsOf(status), status);
  }

  /** An item of a batch that was refused. An unknown code becomes UNKNOWN. */
  static fromStatusMessage({ code, message, details }: Status): FleetError {
    return FleetError.#read(knownCode(code), message, details, undefined);
  }

  static #read(code: Code, message: string, details: readonly Any[], cause: unknown): FleetError {
    const found: { -readonly [K in keyof FleetErrorOptions]: FleetErrorOptions[K] } = { cause };
    let reason = '';
    for (const detail of details) {
      const info = anyUnpack(detail, ErrorInfoSchema);
      if (info?.domain === ERROR_DOMAIN) {
        reason = info.reason;
        found.metadata = info.metadata;
      }
      const violations = anyUnpack(detail, BadRequestSchema)?.fieldViolations;
      if (violations !== undefined) found.violations = violations;
      const retryDelay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
      if (retryDelay !== undefined) found.retryDelayMs = durationMs(retryDelay);
      const quota = anyUnpack(detail, QuotaFailureSchema)?.violations[0];
      if (quota !== undefined) found.quota = { subject: quota.subject, description: quota.description };
    }
    return new FleetError(code, reason, message, found);
  }

  /** As google.rpc.Status, for an item of a batch. */
  toStatusMessage(): Status {
    return create(StatusSchema, {
      code: this.code,
      message: cut(this.message, MAX_TEXT_CHARS),
      details: this.#details(),
    });
  }

  /** As grpc-js ends a call: code, message, and the details in `grpc-status-details-bin`. Long texts are cut. */
  toStatus(): GrpcStatus {
    const message = this.toStatusMessage();
    const metadata = new Metadata();
    metadata.set(DETAILS_KEY, Buffer.from(toBinary(StatusSchema, message)));
    return { code: this.code, details: message.message, metadata };
  }

  #details(): Any[] {
    const { reason, metadata } = this;
    const details = [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN, metadata }))];
    if (this.violations.length > 0) {
      const fieldViolations = this.violations.slice(0, MAX_VIOLATIONS).map(({ field, description }) => ({
        field: cut(field, MAX_DESCRIPTION_CHARS),
        description: cut(description, MAX_DESCRIPTION_CHARS),
      }));
      details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
    }
    if (this.retryDelayMs !== undefined) {
      const retryDelay = durationFromMs(Math.max(0, Math.ceil(this.retryDelayMs)));
      details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
    }
    if (this.quota !== undefined) {
      details.push(anyPack(QuotaFailureSchema, create(QuotaFailureSchema, { violations: [{ ...this.quota }] })));
    }
    return details;
  }
}

/** True for a {@link FleetError}. */
export function isFleetError(error: unknown): error is FleetError {
  return error instanceof FleetError;
}

/** A peer's value for an error message: in quotes, escaped, and cut, so that no message grows with its input. */
export function quoted(value: string): string {
  return JSON.stringify(cut(value, MAX_QUOTED_CHARS));
}

interface StatusLike {
  readonly code: Code;
  readonly details: string;
  readonly metadata?: Metadata;
}

function isServiceError(error: unknown): error is Error & StatusLike {
  if (!(error instanceof Error)) return false;
  const { code, details } = error as Error & Partial<StatusLike>;
  return typeof code === 'number' && code in Code && typeof details === 'string';
}

/** The details of a peer's status; none if they cannot be read, since the code and message still stand. */
function detailsOf({ metadata }: StatusLike): readonly Any[] {
  const bytes = metadata?.get(DETAILS_KEY)[0];
  if (!(bytes instanceof Buffer)) return [];
  try {
    return fromBinary(StatusSchema, bytes).details;
  } catch {
    return [];
  }
}

function knownCode(code: number): Code {
  const name = Code[code] as keyof typeof Code | undefined;
  return name === undefined ? Code.UNKNOWN : Code[name];
}

function cut(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : `${text.slice(0, maxChars - 1)}…`;
}
