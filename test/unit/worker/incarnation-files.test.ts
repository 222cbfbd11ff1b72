import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_REPLACES } from '../../../proto/bounds.js';
import { IncarnationFiles } from '../../../worker/incarnation-files.js';

const incarnation = (number: number): string => number.toString(16).padStart(32, '0');

describe.runIf(process.platform === 'linux')('the incarnations that outlive their supervisor', () => {
  let directory: string;
  const faults: string[] = [];
  const open = (path = directory): IncarnationFiles => new IncarnationFiles(path, (fault) => faults.push(fault));

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'remuda-incarnations-'));
    faults.length = 0;
  });
  afterEach(() => {
    expect(faults).toEqual([]);
    rmSync(directory, { recursive: true, force: true });
  });

  it('should be named when their processes are gone, and not while they run', async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    open().started('0', incarnation(2), child.pid ?? 0, [incarnation(1)]);
    expect(open().ended('0')).toEqual([incarnation(1)]);
    expect(open().ended('1')).toEqual([]);
    child.kill('SIGKILL');
    await ended;
    expect(open().ended('0')).toEqual([incarnation(1), incarnation(2)]);
    expect(readdirSync(directory)).toEqual(['incarnations-0.json']);
  });

  it('should be named when their process id has been given to another process', () => {
    open().started('own', incarnation(1), process.pid, []);
    expect(open().ended('own')).toEqual([]);
    const path = join(directory, 'incarnations-own.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace(/"startTicks":"\d+"/, '"startTicks":"1"'));
    expect(open().ended('own')).toEqual([incarnation(1)]);
  });

  it('should not be named when nobody can tell whether their processes run', () => {
    const files = open();
    const edit = (from: RegExp, to: string): void => {
      const path = join(directory, 'incarnations-own.json');
      const text = readFileSync(path, 'utf8');
      expect(text).toMatch(from);
      writeFileSync(path, text.replace(from, to));
    };
    // In another namespace the number is somebody else's, or nobody's.
    files.started('own', incarnation(1), 2 ** 22 + 1, []);
    expect(files.ended('own')).toEqual([incarnation(1)]);
    edit(/"namespace":"[^"]*"/, '"namespace":"pid:[1]"');
    expect(files.ended('own')).toEqual([]);
    // Its start was not to be seen; there is somebody of its number now.
    files.started('own', incarnation(1), process.pid, []);
    edit(/"startTicks":"\d+"/, '"startTicks":null');
    expect(files.ended('own')).toEqual([]);
  });

  it('should be forgotten when the coordinator knows them, and be no more than it takes', () => {
    const files = open();
    const many = Array.from({ length: MAX_REPLACES + 10 }, (_, number) => incarnation(number));
    files.started('0', incarnation(999), process.pid, many);
    expect(files.ended('0')).toEqual(many.slice(-(MAX_REPLACES - 1)));
    files.started('0', incarnation(999), process.pid, []);
    expect(files.ended('0')).toEqual([]);
  });

  it.each([
    ['{'],
    ['{}'],
    ['[1]'],
    ['[{"incarnation":"x","process":null}]'],
    [`[{"incarnation":"${incarnation(1)}"}]`],
  ])('should be none in a file that holds %s, which is told', (text) => {
    writeFileSync(join(directory, 'incarnations-0.json'), text);
    expect(open().ended('0')).toEqual([]);
    expect(faults.splice(0)).toEqual([expect.stringMatching(/incarnations-0\.json cannot be read .* a lease/)]);
  });

  it('should be told of when they cannot be written, and that is all', () => {
    open(join(directory, 'none')).started('0', incarnation(1), process.pid, []);
    expect(faults.splice(0)).toEqual([expect.stringMatching(/none.incarnations-0\.json cannot be written .*ENOENT/)]);
  });
});
