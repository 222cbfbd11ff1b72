/** Compares the contract with the image of the last release; see "How a release is made" in CONTRIBUTING.md. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const released = 'proto/released.binpb';

if (!existsSync(join(root, released))) {
  process.stdout.write(`No released contract yet (${released}): nothing to compare with\n`);
} else {
  const buf = join(root, 'node_modules', '.bin', 'buf');
  const { status } = spawnSync(buf, ['breaking', '--against', released], { cwd: root, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
