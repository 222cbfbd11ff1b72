/** Forms and bounds that the contract's comments state: one place for every side that checks them. */

/** `worker_id`. */
export const WORKER_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,126}$/;
/** A `worker_id` in which `*` stands for any characters. */
export const WORKER_PATTERN_PATTERN = /^[A-Za-z0-9*][A-Za-z0-9._:/@*-]{0,126}$/;
/** A task's type. */
export const TASK_TYPE_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,126}$/;
/** A UUID of any version, in either case. */
export const UUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** 128 random bits. */
export const INCARNATION_PATTERN = /^[0-9a-f]{32}$/;
/** 64 random bits. */
export const LEASE_ID_PATTERN = /^[0-9a-f]{16}$/;
/** Key of a label or of metadata. Not `__proto__`, which plain objects of JavaScript lose: a label that nobody requires any more. */
export const KEY_PATTERN = /^(?!__proto__$)[A-Za-z0-9._/-]{1,63}$/;
/** A failure's reason. */
export const FAILURE_REASON_PATTERN = /^[A-Z][A-Z0-9_]{0,62}$/;
/** W3C trace context, version 00. */
export const TRACEPARENT_PATTERN = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** A label's value, in characters. */
export const MAX_LABEL_VALUE_CHARS = 63;
/** Labels of one worker. */
export const MAX_WORKER_LABELS = 64;
/** Labels that one task requires. */
export const MAX_REQUIRED_LABELS = 16;
/** Task types of one worker. */
export const MAX_TASK_TYPES = 256;
/** `slots` and `prefetch` of one worker. */
export const MAX_SLOTS = 1_000;
/** `replaces` of one hello. */
export const MAX_REPLACES = 64;
/** `unsent_reports` of one hello. */
export const MAX_UNSENT_REPORTS = 4_096;
/** Data of one progress, in bytes. */
export const MAX_PROGRESS_BYTES = 64 * 1024;
/** Failure.message, in bytes. */
export const MAX_FAILURE_MESSAGE_BYTES = 4 * 1024;
/** Failure.stack, in bytes. */
export const MAX_FAILURE_STACK_BYTES = 8 * 1024;
/** 24 hours: the longest time-out of an attempt, and of a drain. */
export const DAY_MS = 86_400_000;
/** 1 hour: the longest first back-off. */
export const HOUR_MS = 3_600_000;
/** The end of the year 9999, the last that google.protobuf.Timestamp holds. */
export const MAX_WALL_MS = 253_402_300_799_999;
/** TaskOptions.priority. */
export const MAX_PRIORITY = 100;
/** RetryPolicy.max_attempts. */
export const MAX_ATTEMPTS = 100;
/** RetryPolicy.non_retryable_reasons. */
export const MAX_NON_RETRYABLE_REASONS = 32;
/** TaskOptions.metadata. */
export const MAX_METADATA_ENTRIES = 32;
/** A value of TaskOptions.metadata, in bytes. */
export const MAX_METADATA_VALUE_BYTES = 1_024;
/** Elements of one frame of a task stream. */
export const MAX_STREAM_ELEMENTS = 1_024;
/** Tasks that one task stream awaits at a time. */
export const MAX_STREAM_AWAITS = 65_536;
/** Ids or tasks of one batch. */
export const MAX_BATCH = 1_000;
