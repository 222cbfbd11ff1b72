/**
 * Generates the code of the contract into a temporary folder and compares it with proto/gen.
 *
 *   node .ci/generate.mjs           brings proto/gen up to date; touches nothing when it is
 *   node .ci/generate.mjs --check   changes nothing; exit code 1 and the differing files when it is not
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const committed = join(root, 'proto', 'gen');
const check = process.argv.includes('--check');

/** Path below the folder -> content. */
function filesIn(folder) {
  if (!existsSync(folder)) return new Map();
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  // `path` is the name that Node 20 knows.
  const paths = entries.map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  return new Map(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path, 'utf8')]));
}

function differing(fresh) {
  const [are, should] = [filesIn(committed), filesIn(fresh)];
  return [...new Set([...are.keys(), ...should.keys()])].filter((name) => are.get(name) !== should.get(name)).sort();
}

const output = mkdtempSync(join(tmpdir(), 'remuda-gen-'));
try {
  const bin = join(root, 'node_modules', '.bin');
  const { status, error } = spawnSync(join(bin, 'buf'), ['generate', '--output', output], {
    cwd: root,
    stdio: 'inherit',
    // buf looks its plugin up in the path.
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` },
  });
  const fresh = join(output, 'proto', 'gen');
  if (status !== 0) throw new Error(`buf generate failed: ${error?.message ?? `exit code ${status}`}`);
  const names = differing(fresh);
  if (names.length > 0 && check) {
    const list = names.map((name) => `  proto/gen/${name}`).join('\n');
    process.stderr.write(`The generated code is not what the contract says:\n${list}\nRun: npm run proto:gen\n`);
    process.exitCode = 1;
  } else if (names.length > 0) {
    rmSync(committed, { recursive: true, force: true });
    cpSync(fresh, committed, { recursive: true });
    process.stdout.write(`Generated again: ${names.length} files of proto/gen\n`);
  }
} finally {
  rmSync(output, { recursive: true, force: true });
}
