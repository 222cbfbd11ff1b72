/**
 * All checks: the tests first, then everything else. A check that fails does not stop the ones after it. Exit code 0 only
 * when all are well; the last line of standard output counts the tests.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What is run after the tests; each is a script of package.json. */
const CHECKS = [
  ['format', 'format:check'],
  ['lint', 'lint'],
  ['types', 'typecheck'],
  ['contract: lint', 'proto:lint'],
  ['contract: format', 'proto:format'],
  ['contract: breaking changes', 'proto:breaking'],
  ['contract: generated code', 'proto:check'],
  ['systemd', 'test:systemd'],
];

/** What a check prints, and is well, that cannot run on this machine. */
const SKIPPED = /^.+ tests skipped: (.+)$/m;

/** Exit code 0 or not, and what was printed; with `live` it is printed as it comes. */
async function npm(args, live) {
  const child = spawn('npm', ['--silent', ...args], {
    cwd: root,
    stdio: ['ignore', live ? 'inherit' : 'pipe', live ? 'inherit' : 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  try {
    const [code] = await once(child, 'close');
    return { ok: code === 0, output };
  } catch (error) {
    return { ok: false, output: `npm could not be started: ${error.message}` };
  }
}

/**
 * Counts the tests of vitest's report. A file that does not load or leaves something open has no failed test; it counts as
 * one. So does a run that ends badly without a report or a failed test in it: a crash is never "0 failed".
 */
function count(reportPath, ok) {
  let passed = 0;
  let failed = 0;
  try {
    const report = JSON.parse(readFileSync(reportPath, 'utf8'));
    for (const file of report.testResults) {
      const failures = file.assertionResults.filter(({ status }) => status === 'failed').length;
      passed += file.assertionResults.filter(({ status }) => status === 'passed').length;
      failed += failures === 0 && file.status === 'failed' ? 1 : failures;
    }
  } catch (error) {
    process.stdout.write(`The tests left no report: ${error.message}\n`);
    failed = 1;
  }
  return { passed, failed: !ok && failed === 0 ? 1 : failed };
}

async function runTests() {
  const folder = mkdtempSync(join(tmpdir(), 'remuda-ci-'));
  try {
    const report = join(folder, 'tests.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const { ok } = await npm(['test', '--', ...reporters], true);
    const counts = count(report, ok);
    return { ...counts, ok: ok && counts.failed === 0 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runChecks() {
  const failed = [];
  for (const [name, script] of CHECKS) {
    const startedMs = performance.now();
    const { ok, output } = await npm(['run', script], false);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    const reason = ok ? SKIPPED.exec(output)?.[1] : undefined;
    if (reason === undefined) process.stdout.write(`${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)\n`);
    else process.stdout.write(`SKIPPED ${name}: ${reason}\n`);
    if (!ok) {
      process.stdout.write(`${output.trimEnd()}\nAgain: npm run ${script}\n`);
      failed.push(name);
    }
  }
  return failed;
}

const tests = await runTests();
const failed = [...(tests.ok ? [] : ['tests']), ...(await runChecks())];
process.stdout.write(failed.length === 0 ? 'All checks are well\n' : `Failed: ${failed.join(', ')}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;
process.stdout.write(`${tests.passed} passed, ${tests.failed} failed\n`);
