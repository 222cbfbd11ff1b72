import { describe, expect, it } from 'vitest';
import { ProgressLine, progressText } from '../../../client/cli/progress-line.js';
import type { Terminal } from '../../../client/cli/terminal.js';

/** A terminal that keeps what is written, stdout and stderr in one as on a screen. */
function screen({ interactive, columns = 80 }: { readonly interactive: boolean; readonly columns?: number }) {
  let text = '';
  const write = (piece: string | Uint8Array) => {
    text += typeof piece === 'string' ? piece : new TextDecoder().decode(piece);
  };
  const terminal: Terminal = {
    ...{ isInteractive: interactive, columns, isNoteInteractive: interactive, noteColumns: columns },
    outGone: new AbortController().signal,
    out: write,
    outDrained: () => Promise.resolve(),
    outFlushed: () => Promise.resolve(),
    note: (line) => write(`${line}\n`),
    noteRaw: write,
    outStyle: (_style, styled) => styled,
    noteStyle: (_style, styled) => styled,
  };
  return { terminal, text: () => text };
}

const progress = { share: 0.5, doneCount: 1_234, failedCount: 2, runningCount: 3 };

describe('progressText', () => {
  it('should show a bar where the end is known, and counts alone where it is not', () => {
    expect(progressText(progress, 2_000)).toBe('██████████░░░░░░░░░░  50 %  1,234 done  2 failed  3 under way  617/s');
    expect(progressText({ ...progress, share: undefined, failedCount: 0 }, 100)).toBe('1,234 done  3 under way');
  });
});

describe('ProgressLine', () => {
  const setup = (options: Parameters<typeof screen>[0]) => {
    const { terminal, text } = screen(options);
    let nowMs = 0;
    const line = new ProgressLine(terminal, { wallMs: () => nowMs, monoMs: () => nowMs });
    return { line, terminal, text, pass: (ms: number) => (nowMs += ms) };
  };

  it('should write nothing where stderr is no terminal', () => {
    const { line, terminal, text } = setup({ interactive: false });
    line.show(progress);
    line.write(() => terminal.out('row\n'));
    line.clear();
    expect(text()).toBe('row\n');
  });

  it('should draw at most ten times a second, and no wider than the window', () => {
    const { line, text, pass } = setup({ interactive: true, columns: 20 });
    for (let count = 0; count < 100; count += 1) {
      line.show(progress);
      pass(10);
    }
    const drawn = text().split('\r\u001b[K').slice(1);
    expect(drawn).toHaveLength(10);
    for (const each of drawn) expect([...each].length).toBeLessThan(20);
  });

  it('should make way for what else is written, and come back below it', () => {
    const { line, terminal, text } = setup({ interactive: true });
    line.show(progress);
    line.write(() => terminal.out('row\n'));
    line.clear();
    // As on a screen: each line keeps what came after the last clearing.
    const lines = text()
      .split('\n')
      .map((shown) => shown.split('\r\u001b[K').at(-1));
    expect(lines).toEqual(['row', '']);
    expect(text().match(/50 %/g)).toHaveLength(2);
  });
});
