// What the compiler cannot see: floating promises, unsafe values, imports that reach too deep, clocks and dice.
// Which layer may import which is in .dependency-cruiser.cjs, how long a function may be in test/unit/tidy.test.ts. Every rule that is off says why.
import { fileURLToPath } from 'node:url';
import tseslint from 'typescript-eslint';
import { CLOCK_FILES, clockRules, INTERVAL_FILES, intervalRules, purityRules } from './house-rules.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', 'proto/gen/**', 'coverage/**', '.remuda/**'] },
  {
    files: ['**/*.ts', 'docs/examples/**/*.mjs'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.json', './test/tsconfig.json', './docs/examples/tsconfig.json'],
        tsconfigRootDir: root,
      },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { allowDefaultCaseForExhaustiveSwitch: true, considerDefaultExhaustiveForUnions: true },
      ],
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: ['@grpc/*/build/*', '@bufbuild/*/dist/*', '**/node_modules/**', '**/dist/**'],
              message: 'Import the package by its name: what lies inside it changes without notice.',
            },
          ],
        },
      ],
      // `== null` is the short way to say null or undefined.
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-control-regex': 'error',
      // `using _ = ...` holds something until the block ends.
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_$' }],
      // Numbers and booleans read well in a message; objects and undefined do not, and stay errors.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // `return this.fail(...)` and `() => act()` say "and that is all" in one line.
      '@typescript-eslint/no-confusing-void-expression': 'off',
      // Values from a thread, a file or the wire are wider than their type, and a flag changes behind an await.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // Spreading a string counts its code points, which is what the code wants.
      '@typescript-eslint/no-misused-spread': 'off',
      // `get<T>()` says what a row or a message is taken for, where the library cannot know.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      // `void | Promise<void>` is what a callback may return that may be asynchronous.
      '@typescript-eslint/no-invalid-void-type': 'off',
      // An interface asks for a promise also of the implementation that has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['{proto,coordinator,client,worker}/**/*.ts', 'docs/examples/**/*.mjs'],
    ignores: CLOCK_FILES,
    rules: clockRules,
  },
  { files: ['{proto,coordinator,client,worker,test}/**/*.ts'], ignores: INTERVAL_FILES, rules: intervalRules },
  { files: ['coordinator/core/**/*.ts'], rules: purityRules },
  {
    files: ['test/**/*.ts'],
    rules: {
      // Asymmetric matchers (expect.stringMatching) are typed `any`.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      // Where nothing is, the test fails at that line anyway.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Numbers that an enum does not know yet are a case to test.
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
    },
  },
  {
    files: ['test/**/*.ts', 'docs/examples/**/*.mjs'],
    rules: {
      // The handlers are object literals that do not use `this`, and are taken out of their object to be called.
      '@typescript-eslint/unbound-method': 'off',
    },
  },
);
