import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { LogFile } from '../../../client/cli/log-file.js';

it('should begin anew at each start and past its bound, and bear a line after its end', () => {
  const directory = mkdtempSync(join(tmpdir(), 'remuda-log-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'x.log');
  writeFileSync(path, 'old\n');
  const log = new LogFile(path, 10);
  log.write('one');
  log.write('two');
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
  log.write('three');
  expect(readFileSync(path, 'utf8')).toBe('three\n');
  log.close();
  log.close();
  log.write('late');
  expect(readFileSync(path, 'utf8')).toBe('three\n');
});
