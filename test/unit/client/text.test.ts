import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { isAlarming, logLineText, parseLogLine } from '../../../client/cli/log-line.js';
import { renderTable } from '../../../client/cli/table.js';
import { exactTime, payloadBytes } from '../../../client/cli/task-text.js';
import { printable } from '../../../client/cli/terminal.js';
import { PayloadSchema } from '../../../proto/gen/remuda/v1/payload_pb.js';

describe('renderTable', () => {
  const rows = [
    ['w/0', '10'],
    ['worker/1', '7'],
  ];

  it('should part columns by two spaces without borders', () => {
    expect(renderTable(['NAME', 'N'], rows, { borders: false, right: ['N'] })).toBe(
      ['NAME       N', 'w/0       10', 'worker/1   7', ''].join('\n'),
    );
  });

  it('should keep a row on one line', () => {
    expect(renderTable(['A'], [['x\ny']], { borders: false })).toBe('A\nx y\n');
  });

  it('should draw borders, and never colours', () => {
    const table = renderTable(['NAME', 'N'], rows, { borders: true });
    expect(table).toContain('│ w/0');
    expect(table).not.toContain('\u001b');
  });
});

describe('printable', () => {
  it('should disarm what steers a terminal or hides text', () => {
    expect(printable('a\u001b[2Jb\u0007\r\u202ec')).toBe('a\\u001b[2Jb\\u0007\\u000d\\u202ec');
    expect(printable('ü\t😀\n')).toBe('ü\t😀\n');
  });
});

describe('payloadBytes', () => {
  const data = (text: string, contentType = '') =>
    create(PayloadSchema, { contentType, body: { case: 'data', value: new TextEncoder().encode(text) } });

  it('should end text with one line feed and leave other bytes alone', () => {
    const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    expect(decode(payloadBytes(data('{"a":1}')))).toBe('{"a":1}\n');
    expect(decode(payloadBytes(data('x\n', 'text/plain')))).toBe('x\n');
    expect(decode(payloadBytes(data('PNG', 'image/png')))).toBe('PNG');
    expect(decode(payloadBytes(undefined))).toBe('null\n');
  });
});

describe('log lines', () => {
  it('should be told by level, in words, with their fields', () => {
    const line = parseLogLine(
      '{"level":40,"time":1,"pid":2,"msg":"lost it","worker_id":"w/0","err":{"message":"why"}}',
    );
    expect(isAlarming(line)).toBe(true);
    expect(logLineText(line)).toBe('warn: lost it: why (worker_id=w/0)');
    expect(isAlarming(parseLogLine('{"level":30,"msg":"ready"}'))).toBe(false);
  });

  it('should bear lines that are no log', () => {
    for (const text of ['plain', '{broken', '{}', '']) expect(() => logLineText(parseLogLine(text))).not.toThrow();
    expect(logLineText(parseLogLine('a\u001bb'))).toBe('a\\u001bb');
  });
});

describe('exactTime', () => {
  it.each([
    [1, '1ms'],
    [300, '300ms'],
    [1_500, '1.5s'],
    [1_234, '1.234s'],
    [90_000, '90s'],
    [300_000, '5m'],
    [7_200_000, '2h'],
    [86_400_000, '1d'],
  ])('should not round %d ms', (valueMs, text) => {
    expect(exactTime(valueMs)).toBe(text);
  });
});
