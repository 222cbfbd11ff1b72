import type { HeldDrain } from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { renderTable, type TableLook } from './table.js';
import { age } from './task-text.js';
import { printable } from './terminal.js';

/** Drains as a table. `nowMs`: for how long they have been held, in milliseconds since 1970. */
export function drainsText(drains: readonly HeldDrain[], look: TableLook, nowMs: number): string {
  const rows = drains.map(({ workerPattern, createTime }) => [printable(workerPattern), age(createTime, nowMs)]);
  return renderTable(['DRAIN', 'HELD'], rows, { ...look, right: ['HELD'], cut: ['DRAIN'] });
}
