/**
 * Rules of this project that are about single words, not about types. ESLint holds them in the editor
 * (eslint.config.mjs), test/unit/tidy.test.ts and layers.test.ts in the tests. Each names what to write instead.
 */

/** The files that may read the clocks and roll dice; everything else gets them as arguments. */
export const CLOCK_FILES = [
  'coordinator/runtime.ts',
  // One clock for the two threads of a pool.
  'coordinator/pool/process-clock.ts',
  // The start of the process, for people who read the lock file.
  'coordinator/store/sqlite/owner-lock.ts',
  'worker/fleet-worker.ts',
  // The program's process: passes it on.
  'worker/main.ts',
  'worker/session-thread.ts',
  'worker/supervisor.ts',
  // Deadlines of its own calls.
  'client/rpc.ts',
  // The shell of the library: passes them in.
  'client/create-client.ts',
  // The command line's process: passes them on.
  'client/cli/main.ts',
  'docs/examples/handlers.mjs',
];

/** setInterval is for what must be asked for ever, whatever the answer. */
export const INTERVAL_FILES = [
  'proto/every.ts',
  // As its users wrote it.
  'test/e2e/pool-guide/main.js',
];

/** The longest function, without its comments. */
const FUNCTION_LINES_MAX = 70;

const CLOCK =
  'Take the time as an argument (nowMs, Clock): the shell passes it in (coordinator/runtime.ts, CLOCK_FILES).';
const RANDOM = 'Take randomness as an argument: the shell passes it in (coordinator/runtime.ts, CLOCK_FILES).';
const PURE = 'coordinator/core/ is pure: take it as an argument or an input, or hand out an effect (core/outputs.ts).';

export const intervalRules = {
  'no-restricted-globals': [
    'error',
    { name: 'setInterval', message: 'Set a timer for the next time only: setTimeout, anew after each round.' },
  ],
};

export const clockRules = {
  'no-restricted-properties': [
    'error',
    { object: 'Date', property: 'now', message: CLOCK },
    { object: 'performance', property: 'now', message: CLOCK },
    { object: 'process', property: 'hrtime', message: CLOCK },
    { object: 'Math', property: 'random', message: RANDOM },
  ],
  'no-restricted-syntax': [
    'error',
    { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: CLOCK },
  ],
};

const IMPURE_GLOBALS = [
  ...['Date', 'performance', 'process', 'globalThis', 'global', 'console', 'crypto', 'fetch', 'Buffer', 'Intl'],
  ...['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'require', 'WeakRef', 'FinalizationRegistry'],
];

export const purityRules = {
  'no-restricted-globals': ['error', ...IMPURE_GLOBALS.map((name) => ({ name, message: PURE }))],
  'no-restricted-properties': ['error', { object: 'Math', property: 'random', message: PURE }],
  'no-restricted-syntax': [
    'error',
    { selector: 'ImportExpression, MetaProperty, AwaitExpression', message: PURE },
    { selector: 'MemberExpression[property.name=/^toLocale/]', message: PURE },
  ],
};

export const lengthRules = {
  'max-lines-per-function': ['error', { max: FUNCTION_LINES_MAX, skipComments: true, IIFEs: true }],
};
