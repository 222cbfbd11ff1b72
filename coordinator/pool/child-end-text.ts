import { isAlarming, logLineText, parseLogLine } from '../../client/cli/log-line.js';
import type { ChildEnd } from '../../worker/supervised-child.js';
import type { ChildEndKind } from '../../worker/supervisor.js';

/** Who sends them, other than the pool. */
const SIGNAL_CAUSES: Partial<Record<NodeJS.Signals, string>> = {
  SIGKILL: ': somebody else sent it, or the system had no memory left',
  SIGABRT: ': Node gave up, for want of memory perhaps; the log has its last words',
  SIGSEGV: ': a fault in native code',
};

/** How a process ended, with its own words where it has any. */
export function childEndText(end: ChildEnd, kind: ChildEndKind): string {
  const { code, signal, said, error, lastLines } = end;
  if (error !== undefined) return `its process could not be started: ${error.message}`;
  if (kind === 'drained' || kind === 'retired' || kind === 'replaced') return said?.message ?? 'it was asked to leave';
  if (said !== undefined) return `${said.message} (${signal ?? `exit status ${code ?? 'unknown'}`})`;
  if (signal !== null) return `${signal} ended it${SIGNAL_CAUSES[signal] ?? ''}`;
  const lines = lastLines.map(parseLogLine).filter((line) => line.fields === undefined || isAlarming(line));
  if (lines.length > 0)
    return `exit status ${code ?? 'unknown'}; its last lines:\n${lines.map(logLineText).join('\n')}`;
  return code === 0
    ? 'it ended without having called start(), or called process.exit()'
    : `exit status ${code ?? 'unknown'}; it said nothing`;
}
