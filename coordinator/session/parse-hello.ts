import {
  INCARNATION_PATTERN,
  KEY_PATTERN,
  MAX_LABEL_VALUE_CHARS,
  MAX_REPLACES,
  MAX_SLOTS,
  MAX_TASK_TYPES,
  MAX_UNSENT_REPORTS,
  MAX_WORKER_LABELS,
  TASK_TYPE_PATTERN,
  WORKER_ID_PATTERN,
} from '../../proto/bounds.js';
import { FleetError, quoted, type FieldViolation } from '../../proto/fleet-error.js';
import type { Hello, TaskTypeOffer } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import type { HelloInfo } from '../core/inputs.js';
import { parseRef } from './parse-ref.js';

/**
 * Checks all of a hello at once, so that whoever writes a worker sees every fault in one message.
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_HELLO
 */
export function parseHello(hello: Hello): HelloInfo {
  const faults = new Faults();
  const { workerId, incarnation, sessionNumber, replaces, slots, prefetch, running, unsentReports, labels } = hello;
  faults.form('worker_id', workerId, WORKER_ID_PATTERN, '1 to 127 of `[A-Za-z0-9._:/@-]`, a letter or digit first');
  faults.form('incarnation', incarnation, INCARNATION_PATTERN, '32 lower-case hexadecimal digits');
  faults.range('session_number', sessionNumber, 1, 2 ** 31 - 1);
  faults.count('replaces', replaces.length, MAX_REPLACES);
  for (const [index, replaced] of replaces.slice(0, MAX_REPLACES).entries()) {
    faults.form(`replaces[${index}]`, replaced, INCARNATION_PATTERN, '32 lower-case hexadecimal digits');
  }
  faults.chars('version', hello.version, 63);
  faults.chars('host', hello.host, 253);
  faults.range('slots', slots, 1, MAX_SLOTS);
  faults.range('prefetch', prefetch, 0, MAX_SLOTS);
  faults.count('running', running.length, Math.max(0, slots) + Math.max(0, prefetch));
  faults.count('unsent_reports', unsentReports.length, MAX_UNSENT_REPORTS);
  checkLabels(faults, labels);
  const taskTypes = parseTaskTypes(faults, hello.taskTypes, slots);
  const held = running.map(({ attempt, started }, index) => ({
    ref: parseRef(attempt, `running[${index}].attempt`, faults.list),
    started,
  }));
  const unsent = unsentReports.map((ref, index) => parseRef(ref, `unsent_reports[${index}]`, faults.list));
  if (faults.list.length > 0) throw FleetError.invalid('INVALID_HELLO', prefixed(faults.list));
  const { version, host, pid } = hello;
  return {
    workerId,
    incarnation,
    sessionNumber,
    replaces,
    version,
    host,
    pid,
    taskTypes,
    labels: { ...labels },
    slots,
    prefetch,
    running: held,
    unsentReports: unsent,
  };
}

function parseTaskTypes(faults: Faults, offers: readonly TaskTypeOffer[], slots: number): Map<string, number> {
  const taskTypes = new Map<string, number>();
  faults.range('task_types', offers.length, 1, MAX_TASK_TYPES, ' entries');
  for (const [index, offer] of offers.slice(0, MAX_TASK_TYPES).entries()) {
    const field = `task_types[${index}]`;
    const form = '1 to 127 of `[A-Za-z0-9._:/-]`, a letter or digit first';
    faults.form(`${field}.type`, offer.type, TASK_TYPE_PATTERN, form);
    faults.range(`${field}.slots`, offer.slots, 0, Math.max(1, slots));
    if (taskTypes.has(offer.type))
      faults.add(`${field}.type`, `${quoted(offer.type)} comes twice; name each type once`);
    taskTypes.set(offer.type, offer.slots === 0 ? slots : offer.slots);
  }
  return taskTypes;
}

function checkLabels(faults: Faults, labels: Readonly<Record<string, string>>): void {
  const entries = Object.entries(labels);
  faults.count('labels', entries.length, MAX_WORKER_LABELS);
  for (const [key, value] of entries.slice(0, MAX_WORKER_LABELS)) {
    faults.form('labels (key)', key, KEY_PATTERN, '1 to 63 of `[A-Za-z0-9._/-]`, other than __proto__');
    faults.chars(`labels[${quoted(key)}]`, value, MAX_LABEL_VALUE_CHARS);
  }
}

function prefixed(faults: readonly FieldViolation[]): FieldViolation[] {
  return faults.map(({ field, description }) => ({ field: `hello.${field}`, description }));
}

/** What is wrong, collected. */
class Faults {
  readonly list: FieldViolation[] = [];

  add(field: string, description: string): void {
    this.list.push({ field, description });
  }

  form(field: string, value: string, pattern: RegExp, form: string): void {
    if (!pattern.test(value)) this.add(field, `is ${quoted(value)}; it must be ${form}`);
  }

  range(field: string, value: number, min: number, max: number, unit = ''): void {
    if (value < min || value > max) this.add(field, `is ${value}${unit}; it must be ${min} to ${max}${unit}`);
  }

  count(field: string, count: number, max: number): void {
    if (count > max) this.add(field, `has ${count} entries; at most ${max} are allowed`);
  }

  chars(field: string, value: string, max: number): void {
    if (value.length > max) this.add(field, `has ${value.length} characters; at most ${max} are allowed`);
  }
}
