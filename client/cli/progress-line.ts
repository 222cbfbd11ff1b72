import { figure } from '../../proto/figure.js';
import type { Clock } from './cli-context.js';
import { cutText } from './table.js';
import type { Terminal } from './terminal.js';

/** How far something is. */
export interface Progress {
  /** From 0 to 1; undefined where the end is not known. */
  readonly share: number | undefined;
  readonly doneCount: number;
  readonly failedCount: number;
  readonly runningCount: number;
}

/** A person reads no faster, and every drawing costs a write. */
const DRAW_INTERVAL_MS = 100;
const BAR_CHARS = 20;
/** Until then a rate is an accident. */
const RATE_AFTER_MS = 1_000;
const CLEAR = '\r\u001b[K';

/**
 * One line at the bottom of stderr that is drawn again and again; nothing at all where stderr is no terminal. Whatever else is
 * written meanwhile goes through {@link ProgressLine.write}, so that the two do not mix where stdout is the same terminal. It has no
 * timer: it is drawn when there is something to say.
 */
export class ProgressLine {
  readonly #terminal: Terminal;
  readonly #clock: Clock;
  readonly #isOn: boolean;
  readonly #sinceMs: number;
  #drawn = false;
  #drawnMs = -Infinity;
  #progress: Progress | undefined;

  constructor(terminal: Terminal, clock: Clock) {
    this.#terminal = terminal;
    this.#clock = clock;
    this.#isOn = terminal.isNoteInteractive;
    this.#sinceMs = clock.monoMs();
  }

  /** Says how far it is. */
  show(progress: Progress): void {
    this.#progress = progress;
    if (this.#isOn && this.#clock.monoMs() - this.#drawnMs >= DRAW_INTERVAL_MS) this.#draw();
  }

  /** Writes something else while the line is away. */
  write(write: () => void): void {
    const wasDrawn = this.#drawn;
    this.clear();
    write();
    if (wasDrawn) this.#draw();
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#drawn) this.#terminal.noteRaw(CLEAR);
    this.#drawn = false;
  }

  #draw(): void {
    if (this.#progress === undefined) return;
    const { noteColumns = 80 } = this.#terminal;
    const elapsedMs = this.#clock.monoMs() - this.#sinceMs;
    // The last column stays free: some terminals begin a new line when it is written.
    this.#terminal.noteRaw(CLEAR + cutText(progressText(this.#progress, elapsedMs), noteColumns - 1));
    this.#drawn = true;
    this.#drawnMs = this.#clock.monoMs();
  }
}

/** A progress on one line. `elapsedMs`: how long it took so far. */
export function progressText(progress: Progress, elapsedMs: number): string {
  const { share, doneCount, failedCount, runningCount } = progress;
  const parts = [`${figure(doneCount)} done`];
  if (failedCount > 0) parts.push(`${figure(failedCount)} failed`);
  parts.push(`${figure(runningCount)} under way`);
  if (elapsedMs >= RATE_AFTER_MS) parts.push(`${figure(Math.round((1_000 * doneCount) / elapsedMs))}/s`);
  if (share === undefined) return parts.join('  ');
  const full = Math.round(BAR_CHARS * Math.min(1, share));
  const bar = '█'.repeat(full) + '░'.repeat(BAR_CHARS - full);
  return `${bar} ${String(Math.floor(100 * Math.min(1, share))).padStart(3)} %  ${parts.join('  ')}`;
}
