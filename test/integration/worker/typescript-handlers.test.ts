import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { handlersFile, Program, ScriptedCoordinator } from './support.js';

/** False where Node strips no types: Node 20, and Node 22 before 22.18. */
const strips = Boolean((process.features as { typescript?: unknown }).typescript);

const TYPED = `
type Payload = { readonly n: number };
const handlers: Record<string, (payload: Payload) => number> = { double: ({ n }) => n * 2 };
`;
const ESM = `${TYPED} export default handlers;`;
const ENUM = 'enum Answer { Yes = 42 } export default { double: (): number => Answer.Yes };';

/** A loader that compiles, as tsx does, made of the compiler that is here. */
const LOADER = {
  'register.mjs': "import { register } from 'node:module'; register('./hooks.mjs', import.meta.url);",
  'hooks.mjs': `
    import { readFile } from 'node:fs/promises';
    import ts from '${import.meta.resolve('typescript')}';
    export async function load(url, context, next) {
      if (!url.endsWith('.ts')) return next(url, context);
      const { outputText } = ts.transpileModule(await readFile(new URL(url), 'utf8'), {
        compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
      });
      return { format: 'module', source: outputText, shortCircuit: true };
    }`,
};

/** The result of one task `double` of a worker that runs this file. */
async function runs(path: string, env: Record<string, string> = {}): Promise<string> {
  const coordinator = await ScriptedCoordinator.start();
  const program = new Program([path, '--address', coordinator.address], { env });
  const session = await Promise.race([
    coordinator.session(),
    program.ended().then(() => Promise.reject(new Error(program.lines.join('\n')))),
  ]);
  session.assign('t-1', 'double', { payload: { n: 21 } });
  const { outcome, result } = await session.report('t-1');
  expect(outcome).toBe(AttemptOutcome.SUCCEEDED);
  return Buffer.from((result?.body.value as Uint8Array | undefined) ?? []).toString();
}

/** What a worker says of a file that it cannot run. */
async function refusal(path: string): Promise<string> {
  const program = new Program([path, '--address', '127.0.0.1:1']);
  expect((await program.ended()).code).toBe(2);
  return String((await program.log(/handlers file/)).msg);
}

const FORMS: readonly (readonly [string, string])[] = [
  ['handlers.ts', ESM],
  ['handlers.mts', ESM],
  ['handlers.cts', `${TYPED} module.exports = handlers;`],
];

describe('a handlers file in TypeScript', { timeout: 60_000 }, () => {
  it('should run, with all of its syntax, where a loader compiles it', async () => {
    const path = handlersFile(ENUM, 'handlers.ts', LOADER);
    expect(await runs(path, { NODE_OPTIONS: `--import ${join(dirname(path), 'register.mjs')}` })).toBe('42');
  });
});

describe.runIf(strips)('a handlers file in TypeScript, where Node strips types', { timeout: 60_000 }, () => {
  it.each(FORMS)('should run: %s', async (name, body) => {
    expect(await runs(handlersFile(body, name))).toBe('42');
  });

  it.each([
    ['an enum', 'handlers.ts', ENUM, {}, /enum is not supported[^]*erasableSyntaxOnly/],
    [
      'broken syntax',
      'handlers.ts',
      'export default { x: ( => 1 };',
      {},
      /handlers\.ts:1[^]*npx tsc --noEmit says more/,
    ],
    ['a place below node_modules', 'node_modules/h/handlers.ts', ESM, {}, /does not run TypeScript below node_modules/],
    [
      'an import by the name of what is compiled',
      'handlers.ts',
      "import { y } from './dep.js'; export default { x: () => y };",
      { 'dep.ts': 'export const y: number = 1;' },
      /dep\.ts is there, but Node takes a file's name as it is written: import it with its extension \.ts/,
    ],
    [
      'a type imported as a value',
      'handlers.ts',
      "import { T } from './dep.ts'; export default { x: (payload: T) => payload };",
      { 'dep.ts': 'export type T = number;' },
      /If T is a type, import it with `import type`/,
    ],
  ])('should be refused with advice for %s', async (_what, name, body, others, message) => {
    expect(await refusal(handlersFile(body, name, others))).toMatch(message);
  });
});

describe.skipIf(strips)('a handlers file in TypeScript, where Node strips no types', { timeout: 60_000 }, () => {
  it.each(FORMS)('should be refused, saying which Node runs it and what else does: %s', async (name, body) => {
    const path = handlersFile(body, name);
    const text = await refusal(path);
    expect(text).toContain(`handlers file ${path} is TypeScript, and this Node (${process.version}) does not run that`);
    expect(text).toContain('Use Node 22.18 or newer, or compile it');
    expect(text).toContain("NODE_OPTIONS='--import tsx' remuda-worker handlers.ts");
  });

  it('should be named when a JavaScript one imports it', async () => {
    const path = handlersFile("export { default } from './typed.ts';", 'handlers.mjs', { 'typed.ts': ESM });
    const typed = join(dirname(path), 'typed.ts');
    expect(await refusal(path)).toContain(`handlers file ${path} imports ${typed}, which is TypeScript`);
  });
});
