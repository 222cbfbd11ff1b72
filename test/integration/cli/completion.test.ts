import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { remuda } from './support.js';

const run = promisify(execFile);

/** What a real bash offers after these words; the last is the one that is being typed. */
async function offered(script: string, words: readonly string[]): Promise<string[]> {
  const ask = '_remuda; printf "%s\\n" "${COMPREPLY[@]}"';
  const program = `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ${ask}`;
  const { stdout } = await run('bash', ['--norc', '-c', program, 'bash', ...words]);
  return stdout.split('\n').filter((line) => line !== '');
}

/** Names of commands and options in a help text. */
function namesIn(help: string): string[] {
  return [...help.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+|[a-z]+)(?= |$)/gm)].map(([, name = '']) => name);
}

describe('remuda completion', { timeout: 60_000 }, () => {
  it('should complete in bash every command and option that the help names', async () => {
    const { stdout: script } = await remuda(undefined, ['completion', 'bash']);
    for (const path of [[], ['submit'], ['list'], ['dlq'], ['dlq', 'requeue'], ['drain'], ['dev']]) {
      const { stdout: help } = await remuda(undefined, [...path, '--help']);
      const named = namesIn(help.split('\nExamples:')[0] ?? '').filter((name) => name !== 'help' && name !== 'remuda');
      expect(named.length).toBeGreaterThan(1);
      const words = await offered(script, ['remuda', ...path, '']);
      expect(named.filter((name) => !words.includes(name))).toEqual([]);
    }
  });

  it('should know where it is: behind values of options, within groups, and at choices', async () => {
    const { stdout: script } = await remuda(undefined, ['completion', 'bash']);
    expect(await offered(script, ['remuda', 'sub'])).toEqual(['submit']);
    expect(await offered(script, ['remuda', '--address', 'dlq', 'wat'])).toEqual(['watch']);
    expect(await offered(script, ['remuda', 'dlq', 're'])).toEqual(['requeue']);
    expect(await offered(script, ['remuda', 'dlq', 'list', '--li'])).toEqual(['--limit']);
    expect(await offered(script, ['remuda', 'list', '--state', 'd'])).toEqual(['dead_lettered']);
    expect(await offered(script, ['remuda', 'completion', ''])).toEqual(
      expect.arrayContaining(['bash', 'zsh', 'fish']),
    );
    // Nothing of ours: bash goes on with files.
    expect(await offered(script, ['remuda', 'submit', 'x', '--each', ''])).toEqual([]);
  });

  it('should print a script for zsh and fish, and exit 2 for another shell', async () => {
    for (const shell of ['zsh', 'fish']) {
      const { code, stdout } = await remuda(undefined, ['completion', shell]);
      expect(code).toBe(0);
      for (const word of ['requeue', 'wait-timeout', 'dead_lettered']) expect(stdout).toContain(word);
    }
    const { code, stderr } = await remuda(undefined, ['completion', 'tcsh']);
    expect(code).toBe(2);
    expect(stderr).toContain('bash, zsh, fish');
  });
});
